"""The Russian texts: the same keys as the English ones."""

from __future__ import annotations

from collections.abc import Mapping

from views.texts.english import ENGLISH

# Glossary: English term -> the Russian one, everywhere.
#
#   site, layer             слой (a linear layer: one weight matrix, a projection inside a block)
#   block                   блок (of the transformer; a block of cells of the mask is a группа)
#   projection              проекция
#   weight (one matrix)     матрица весов; weights: веса
#   dense                   без сжатия («остаётся без сжатия», «модель без сжатия»); always dense: не сжимается
#   compressed              со сжатием; the compressed model: сжатая модель
#   removed                 удалено; удалённые веса (a result), удаляемые веса (a control); kept: остаётся
#   at 20% removed          при удалении 20 % весов
#   share                   доля
#   budget                  бюджет (the share removed from all sites together)
#   compression ratio       степень сжатия; compression factor: коэффициент сжатия
#   allocation policy       политика распределения, short: политика; its name in a sentence: политика «{policy}»
#   uniform, pooled, Fisher равномерная, общий пул, по Фишеру
#   Fisher-weighted X       X с весами Фишера
#   method                  метод; its name stays as it is after the noun: метод {method}, для метода {method}
#   setting                 вариант (method and policy together)
#   run                     запуск; live: на этой машине, измерено здесь
#   perplexity              перплексия; log axis: лог. шкала
#   word error rate         доля ошибочных слов (WER), short: WER; character error rate: доля ошибок в буквах (CER)
#   transcript              расшифровка; recording: запись; teacher forcing: с подсказкой верных слов
#   encoder, decoder        кодировщик, декодер; stack (of blocks): стопка
#   real-time factor        коэффициент реального времени
#   forecast, predicted     прогноз; measured: измерено, измерение
#   95% band                полоса 95 %; interval: интервал; low, high: нижняя, верхняя граница
#   rank, break-even        ранг, «окупается до»; factor (of a product): множитель; low-rank: низкоранговый
#   dictionary, atom        словарь, атом; sparsity: разреженность
#   nonzeros a column       ненулевых в столбце
#   singular value          сингулярное число; spectrum: спектр; index: номер
#   whitened                отбелённый, с отбеливанием; plain: сами веса
#   relative output error   относительная ошибка выхода; energy lost: потеря энергии
#   alternation             итерация; convergence: сходимость
#   loss                    потери, функция потерь
#   stored bits             хранимые биты; storage picture: схема хранения
#   calibration, cache      калибровка, кэш
#   scored tokens           оценённые токены; window: окно
#   prompt, completion      промпт, продолжение
#   latency                 задержка; prefill: обработка промпта; decode: генерация
#   embeddings, norms       эмбеддинги, нормализации; biases: смещения
#   threads                 потоки; remark: примечание
#
# A number never governs a noun («слоёв: {count}», not «{count} слоёв»): that is right for every number. A per cent
# may («{removed} весов»). Before a unit stands a no-break space (\u00a0), before % a narrow one (\u202f).

RUSSIAN: Mapping[str, str] = {
    # page
    "page.title": "Compression Cost Explorer",
    "page.tagline": ("Чего стоит сжатие трансформера? Двигайте ползунок и смотрите на размер, ошибку и перплексию."),
    "page.theme": "Сменить тему",
    "page.generic_error": "На сервере произошла ошибка; она записана в журнал, а страница продолжает работать.",
    "page.model_line": "**Модель:** {title}",
    "page.model_line_note": "**Модель:** {title} — {note}",
    "page.empty": "Пока показывать нечего. Нажмите «{button}», чтобы проанализировать модель на этой машине.",
    # words shared by several places
    "word.dense": "без сжатия",
    "word.compressed": "со сжатием",
    "word.site": "Слой",
    "word.block": "Блок",
    "word.projection": "Проекция",
    "word.method": "Метод",
    "word.policy": "Политика",
    "word.rank": "Ранг",
    "word.atoms": "Атомы",
    "word.nonzeros": "Ненулевых в столбце",
    "word.removed": "Удалено",
    "word.shape": "Размер (вых. × вх.)",
    "table.open": "Таблица и CSV",
    "table.download": "Скачать CSV",
    "chart.loading": "Строится график…",
    "chart.empty": "Измерений пока нет",
    "method.dense": "без сжатия",
    "method.svd": "SVD",
    "method.svd-llm": "SVD-LLM",
    "method.compot": "COMPOT",
    # The one ordinary space is where a chart breaks the name into two lines.
    "method.compot-fisher": "COMPOT\u00a0с\u00a0весами Фишера",
    "method.svd-fisher": "SVD\u00a0с\u00a0весами Фишера",
    "method.svd-llm-v2": "SVD-LLM\u00a0v2",
    "method.fwsvd": "FWSVD",
    "method.asvd": "ASVD",
    "method.cospadi": "CoSpaDi",
    "method.rocket": "ROCKET",
    "method.dobi-svd": "Dobi-SVD",
    "method.finegates": "FineGates",
    "method.finegates-published": "FineGates как в статье",
    "method.finegates-fisher": "FineGates без обучения",
    "method.magnitude-structured": "по модулю, структурно",
    "method.wanda-structured": "Wanda, структурно",
    "method.lora": "LoRA",
    "method.lora-xs": "LoRA-XS",
    "method.vera": "VeRA",
    "method.velora": "VeLoRA",
    "method.bitfit": "BitFit",
    "method.rocoft": "RoCoFT",
    "method.apt": "APT",
    "method.maskllm": "MaskLLM",
    "method.magnitude-2:4": "2:4 по модулю",
    "method.wanda-2:4": "Wanda 2:4",
    "method.full": "полное дообучение",
    "method.head": "только голова",
    "policy.uniform": "равномерная",
    "policy.pooled": "общий пул",
    "policy.fisher": "по Фишеру",
    "policy_choice.uniform": "равномерная",
    "policy_choice.pooled": "общий пул",
    "policy.svd-llm-v2": "по правилу\u00a0v2",
    "policy.knapsack": "рюкзак",
    "policy.sensitivity": "по чувствительности",
    "policy.learned": "выученная",
    "policy.gates": "по вентилям",
    "policy_choice.svd-llm-v2": "правило SVD-LLM\u00a0v2: по потерям от усечения внутри каждого типа",
    "policy_choice.knapsack": "задача о рюкзаке: наименьшая сумма ошибок выхода",
    "policy_choice.sensitivity": "поиск по чувствительности: каждый слой измеряется отдельно (минуты)",
    "policy_choice.learned": "выученные позиции: только Dobi-SVD (минуты)",
    "policy_choice.gates": "вентили самого метода: только FineGates (минуты)",
    # durations and progress
    "time.instant": "ответ сразу, из кэша",
    "time.seconds": "около {value}\u00a0с",
    "time.minutes": "около {value}\u00a0мин",
    "cost.line": "Время на этой машине: {cost}.",
    "cost.unknown": "Время на этой машине: пока неизвестно.",
    "status.title": "Состояние",
    "status.about": "Показатели этого сервера сейчас; обновляются сами.",
    "status.figure": "Показатель",
    "status.value": "Значение",
    "status.memory": "Память приложения, МБ",
    "status.free": "Свободная память машины, МБ",
    "status.machine": "Память машины, МБ",
    "status.line": "Посетителей в очереди к вычислениям, включая того, чья задача идёт",
    "status.budget": "Предел памяти для моделей, МБ (0: вычисления ещё не запускались)",
    "status.model": "В памяти: {model}, {method}, МБ",
    "status.folder": "Кэш на диске: {folder}, МБ",
    "progress.waiting": "Ожидание вычислений…",
    "progress.place": "Очередь: перед вами {ahead}.",
    "progress.place_time": "Очередь: перед вами {ahead} ({time}).",
    "progress.cancelling": "Отменяется: завершается текущий шаг…",
    "progress.cancelled": "Отменено. Ничего не изменилось.",
    "button.cancel": "Отмена",
    # Explore
    "explore.tab": "Обзор",
    "explore.ratio": "Степень сжатия (доля удаляемых весов)",
    "explore.policy": "Политика распределения",
    "explore.site": "Слой (или нажмите на ячейку карты)",
    "explore.load": "Загрузить для анализа",
    "explore.loaded": "Модель {title} загружена: слоёв — {sites}, параметров — {parameters}\u00a0млн.",
    # cards
    "card.none": "—",
    # forecast; {removed}, {perplexity}, {low} and {high} are filled in by the browser
    "forecast.title": "Прогноз: какую перплексию покажет измерение",
    "forecast.setting": "{method} · {policy}",
    "forecast.sentence": (
        "При удалении {removed} весов (метод {method}, политика «{policy}») прогноз перплексии — {perplexity} "
        "(от {low} до {high}); без сжатия — {dense}."
    ),
    "forecast.note": (
        "Перплексия на той части текста {text}, которая не участвует в калибровке ({convention}); "
        "в скобках — полоса 95\u202f%."
    ),
    "forecast.note_measured": (
        "Перплексия на той части текста {text}, которая не участвует в калибровке ({convention})."
    ),
    "forecast.beyond": (
        "Прогноз (метод {method}, политика «{policy}») доходит до {largest} удалённых весов; "
        "для {removed} прогноза нет."
    ),
    "forecast.problem": (
        "Прогноза нет (метод {method}, политика «{policy}»): {problem}. "
        "На графике показаны измеренные точки; без сжатия — {dense}."
    ),
    "forecast.none": (
        "Для модели {model} прогноза пока нет. Чтобы его построить, выполните на этой машине команду "
        "«python -m compression predict {model}», затем нажмите «{button}»."
    ),
    "forecast.x": "доля удалённых весов",
    "forecast.y": "перплексия (лог. шкала)",
    "forecast.band": "полоса 95\u202f%",
    "forecast.measured": "{setting} (измерено)",
    "forecast.dense": "без сжатия {value}",
    "forecast.hover": "<b>{setting}</b><br>удалено %{{x:.0%}}<br>прогноз перплексии %{{y:,.4~g}}",
    "forecast.hover_measured": "<b>{setting}</b><br>удалено %{{x:.0%}}<br>измеренная перплексия %{{y:,.4~g}}",
    "forecast.summary": (
        "При удалении {removed} весов (прогнозов: {count}) самый низкий прогноз — {best} ({best_policy}), "
        "перплексия {best_value}; самый высокий — {worst} ({worst_policy}), {worst_value}."
    ),
    "forecast.summary_one": (
        "При удалении {removed} весов прогноз для метода {best} ({best_policy}) — перплексия {best_value}."
    ),
    "forecast.summary_none": "Ни для одного из этих вариантов прогноза нет: на графике показаны только измерения.",
    "forecast.summary_problem": "Без прогноза, только измеренные точки: {settings}.",
    "forecast.summary_far": "Намного выше шкалы, появляются на графике только при выборе: {settings}.",
    "forecast.column.kind": "Вид",
    "forecast.column.perplexity": "Перплексия",
    "forecast.column.low": "Нижняя граница полосы",
    "forecast.column.high": "Верхняя граница полосы",
    "forecast.column.remark": "Примечание",
    "forecast.kind_predicted": "прогноз",
    "forecast.kind_measured": "измерение",
    "forecast.kind_problem": "прогноза нет",
    # heatmap
    "heatmap.title": "Из каких слоёв удаляются веса",
    "heatmap.x": "блок (номер)",
    "heatmap.y": "проекция",
    "heatmap.scale": "доля удалённых весов",
    "heatmap.hover": (
        "<b>блок {block} · {projection}</b><br>размер {shape}<br>удалено {removed}<br>"
        "ранг {rank}<br>или атомов: {atoms}, ненулевых в столбце: {nonzeros}"
    ),
    "heatmap.hover_dense": "<b>блок {block} · {projection}</b><br>размер {shape}<br>остаётся без сжатия",
    "heatmap.chosen": "выбранный слой",
    "heatmap.summary": (
        "Политика «{policy}» удаляет из слоя от {least} до {most} весов, больше всего — из {site}; "
        "слоёв без сжатия: {dense} из {count}."
    ),
    "heatmap.summary_even": "Политика «{policy}» удаляет из каждого слоя {most} весов (слоёв: {count}).",
    # spectrum
    "spectrum.title": "Выбранный слой: {site}",
    "spectrum.title_any": "Спектр выбранного слоя",
    "spectrum.x": "сингулярное число (номер i)",
    "spectrum.y": "σᵢ ÷ σ₁ (безразм.)",
    "spectrum.y_lost": "потеря энергии (доля)",
    "spectrum.plain": "сами веса",
    "spectrum.whitened": "отбелённые по входам",
    "spectrum.rank": "ранг {rank}",
    "spectrum.break_even": "окупается до {rank}",
    "spectrum.column.index": "Номер",
    "spectrum.column.plain": "σᵢ/σ₁, сами веса",
    "spectrum.column.whitened": "σᵢ/σ₁, отбелённые",
    "spectrum.column.plain_lost": "Потеря энергии, сами веса",
    "spectrum.column.whitened_lost": "Потеря энергии, отбелённые",
    # budget
    "budget.title": "Что остаётся, что удаляется",
    "budget.kept": "остаётся",
    "budget.removed": "удаляется",
    "budget.rest": "не сжимается",
    "budget.summary": (
        "Если удалить {removed} сжимаемых весов, вся модель уменьшится с {original_mib} до {stored_mib}\u00a0МиБ "
        "(на {whole}), потому что эмбеддинги, нормализации и смещения остаются без сжатия."
    ),
    "budget.column.part": "Часть модели",
    "budget.column.kept": "Остаётся (МиБ)",
    "budget.column.removed": "Удаляется (МиБ)",
    # Compare
    "compare.tab": "Сравнение",
    "compare.budget": "Бюджет (доля удалённых весов)",
    "compare.budget_live": "{removed}, {policy} (измерено здесь)",
    "compare.budget_unfinished": "{removed}, {policy} (измерены не все методы)",
    "compare.runs": "Запуски при этом бюджете",
    "compare.live_title": "Измерить на этой машине",
    "compare.live_ratio": "Доля удаляемых весов для новых запусков",
    "compare.live_policy": "Политика для новых запусков",
    "compare.button": "Сравнить",
    "compare.site": "Слой для схемы хранения",
    "compare.pattern_button": "Рассчитать слой",
    "compare.pattern_missing": "Для слоя {site} готовой схемы нет; её построит кнопка «{button}».",
    "compare.pattern_no_site": (
        "Сначала выберите слой: список заполнится, когда модель будет проанализирована на вкладке «Обзор»."
    ),
    "compare.none": "Для этой модели сравнение ещё не измерено; нажмите «{button}».",
    "runs.column.removed": "Удалено (фактически)",
    "runs.column.whole": "От всей модели",
    "runs.column.stored": "Хранимые биты",
    "runs.column.perplexity": "Перплексия",
    "runs.column.stderr": "± стандартная ошибка",
    "runs.column.seconds": "Сжатие (с)",
    "runs.column.tokens": "Оценённые токены",
    "runs.column.predicted": "Прогноз",
    "runs.column.low": "Нижняя граница полосы",
    "runs.column.high": "Верхняя граница полосы",
    "runs.column.remark": "Примечание",
    "runs.no_forecast": "прогноза нет: {problem}",
    "runs.remarks": "{first}; {second}",
    "quality.title": "Перплексия при этом бюджете",
    "quality.x": "перплексия (лог. шкала)",
    "quality.lesson": "провал: вот и урок",
    "quality.hover": "<b>{run}</b><br>перплексия {value} ± {spread}<br>удалено {removed}",
    "quality.hover_predicted": "<b>{run}</b><br>прогноз перплексии {value}<br>полоса 95\u202f%: от {low} до {high}",
    "quality.legend_measured": "измерено (± станд. ошибка)",
    "quality.legend_predicted": "прогноз (полоса 95\u202f%)",
    "quality.summary": (
        "При удалении {removed} весов лучшая перплексия — у метода {best} ({best_policy}): {best_value} "
        "против {dense} без сжатия; худшая — у метода {worst} ({worst_policy}): {worst_value}."
    ),
    "quality.summary_one": "Метод {best} ({best_policy}): перплексия {best_value} против {dense} без сжатия.",
    "errors.title": "Относительная ошибка выхода по слоям",
    "errors.hover": ("<b>блок {block} · {projection}</b><br>относительная ошибка выхода {error}<br>удалено {removed}"),
    "errors.hover_dense": "<b>блок {block} · {projection}</b><br>остаётся без сжатия",
    "errors.summary": (
        "{method} ({policy}): наибольшая относительная ошибка выхода — {most} (слой {site}), наименьшая — {least}."
    ),
    "errors.summary_none": "{method} ({policy}): ошибки выхода не измерены.",
    "errors.column.error": "Относительная ошибка выхода",
    "pattern.title": "Ранг или разреженность: как хранится одна матрица весов",
    "pattern.mask": "Где стоят ненулевые коэффициенты",
    "pattern.mask_x": "выход (группа столбцов)",
    "pattern.mask_y": "атом (группа)",
    "pattern.mask_scale": "доля ненулевых",
    "pattern.mask_summary": (
        "При удалении {removed} весов относительная ошибка выхода слоя {site} при ранге {rank} — {low_rank}; "
        "в виде словаря (атомов: {atoms}, ненулевых в столбце: {nonzeros}) — {dictionary}."
    ),
    "pattern.use": "Как часто используются атомы",
    "pattern.use_x": "атом (по убыванию частоты)",
    "pattern.use_y": "доля выходов с этим атомом",
    "pattern.use_summary": (
        "Атомов: {atoms}. Самый востребованный участвует в {most} выходов, самый редкий — в {least}; "
        "столбец низкорангового множителя участвовал бы во всех."
    ),
    "pattern.convergence": "Сходимость COMPOT",
    "pattern.convergence_x": "итерация (номер)",
    "pattern.convergence_y": "квадрат ошибки, отбел. (доля)",
    "pattern.convergence_summary": "Итераций: {count}; квадрат ошибки меняется с {first} до {last}.",
    "pattern.convergence_none": "Для этого запуска сходимость не записана.",
    # Test live
    "live.tab": "Проверка",
    "live.text": "Ваш текст",
    "live.text_info": (
        "Чем больше текста, тем уже интервал. Образец — из книги Дарвина «Происхождение видов» (1859), "
        "на языке оригинала."
    ),
    "live.method": "Метод",
    "live.policy": "Политика",
    "live.ratio": "Доля удаляемых весов",
    "live.prompt": "Промпт",
    "live.prompt_value": ENGLISH["live.prompt_value"],  # input of an English model: not translated
    "live.perplexity_title": "Перплексия на вашем тексте",
    "live.perplexity": "Измерить перплексию",
    "live.generate_title": "Продолжения рядом",
    "live.generate": "Сгенерировать",
    "live.latency_title": "Задержка",
    "live.latency": "Измерить задержку",
    "live.perplexity_x": "оценённые токены (число)",
    "live.perplexity_y": "перплексия (лог. шкала)",
    "live.perplexity_hint": "Нажмите «{button}»: сначала модель без сжатия, затем сжатая, окно за окном.",
    "live.perplexity_running": "Без сжатия: {dense}; со сжатием: {compressed}.",
    "live.perplexity_value": "{value} (от {low} до {high})",
    "live.perplexity_pending": "ещё не измерено",
    "live.perplexity_summary": (
        "Перплексия на вашем тексте без сжатия — {dense}, со сжатием — {compressed}; "
        "оценено токенов: {tokens} ({convention})."
    ),
    "live.column.model": "Модель",
    "live.column.tokens": "Оценённые токены",
    "live.column.perplexity": "Перплексия",
    "live.column.low": "Нижняя граница интервала",
    "live.column.high": "Верхняя граница интервала",
    "live.generate_empty": "Здесь появится продолжение.",
    "live.generate_hint": "Нажмите «{button}», и обе модели продолжат промпт.",
    "live.latency_hint": "Нажмите «{button}»: модели работают по очереди, чтобы условия для обеих были одинаковы.",
    "live.latency_x_prefill": "обработка промпта, токенов: {tokens} (мс)",
    "live.latency_x_decode": "генерация (мс на токен)",
    "live.latency_column.phase": "Этап",
    "live.latency_column.median": "Медиана (мс)",
    "live.latency_column.iqr": "Межквартильный размах (мс)",
    "live.latency_column.repeats": "Повторы",
    "live.latency_prefill": "обработка промпта",
    "live.latency_decode": "генерация, на токен",
    "live.recipe": "{method}, {policy}, удалено {removed}",
    "live.sample": ENGLISH["live.sample"],  # input of an English model: not translated
    # what the page fills in itself
    "page.language": "Язык",
    "explore.method": "Метод",
    "explore.method_info": "Чей прогноз или чьё измерение показать.",
    "explore.unit": "Что означает степень сжатия?",
    "explore.impossible": (
        "С этими закреплениями степень сжатия может быть от {smallest} до {largest}; {removed} "
        "недостижимо: сдвиньте ползунок или снимите закрепление."
    ),
    "unit.weights": "веса",
    "unit.bits": "биты",
    "unit.bytes": "байты на диске",
    "unit.factor": "коэффициент",
    "unit.whole": "вся модель",
    "unit.flops": "FLOPs",
    "unit.weights_sentence": (
        "Удаляется {removed} сжимаемых весов: {removed_weights} из {site_weights}. Эмбеддинги, "
        "нормализации и смещения остаются."
    ),
    "unit.bits_sentence": "Вся модель хранится в {stored_bits} битах вместо {original_bits}, по 16 на значение.",
    "unit.bytes_sentence": "На диске вся модель занимает {stored_mib} МиБ вместо {original_mib} МиБ.",
    "unit.factor_sentence": "Вся модель становится меньше с коэффициентом {factor}.",
    "unit.whole_sentence": "От всей модели, вместе с эмбеддингами, удаляется {whole}.",
    "unit.flops_sentence": (
        "На один токен сжимаемым слоям нужно FLOPs: {low_rank_flops} в низкоранговом виде, "
        "{dictionary_flops} в виде словарей с пропуском нулей, {dense_flops} без сжатия."
    ),
    "card.removed": "Удалено весов",
    "card.removed_value": "{removed}",
    "card.removed_detail": "{whole} всей модели",
    "card.size": "Вся модель",
    "card.size_value": "{original_mib} → {stored_mib} МиБ",
    "card.size_detail": "план, 16 бит на значение",
    "card.bits": "Хранимые биты",
    "card.bits_value": "{stored_bits}",
    "card.bits_detail": "вся модель",
    "card.factor": "Коэффициент сжатия",
    "card.factor_value": "{factor} ×",
    "card.factor_detail": "вся модель, было ÷ стало",
    "card.flops": "FLOPs на токен, низкий ранг",
    "card.flops_value": "{low_rank_flops}",
    "card.flops_detail": "без сжатия {dense_flops}, сжимаемые слои",
    "card.perplexity_predicted": "Прогноз перплексии",
    "card.perplexity_predicted_value": "{perplexity}",
    "card.perplexity_predicted_detail": "от {low} до {high} · без сжатия {dense_perplexity}",
    "card.perplexity_measured": "Измеренная перплексия",
    "card.perplexity_measured_value": "{quality}",
    "card.perplexity_measured_detail": "при удалении {at} · без сжатия {dense_quality}",
    "card.perplexity_none": "Перплексия",
    "card.perplexity_none_value": "—",
    "card.perplexity_none_detail": "нет ни прогноза, ни измерения",
    "measured.sentence": (
        "Для метода {method} с политикой «{policy}» прогноза нет. Измерено при удалении {at} весов: "
        "перплексия {quality}, без сжатия {dense_quality}."
    ),
    "measured.none": (
        "Для метода {method} с политикой «{policy}» нет ни прогноза, ни измерения: измерьте на вкладке «Сравнение»."
    ),
    "difference.same": "Это и есть равномерная политика: разницы нет.",
    "difference.none": ("Метод {method} не измерен с обеими политиками, поэтому выигрыш над равномерной неизвестен."),
    "difference.measured": (
        "Измерено при удалении {at} весов, метод {method}: перплексия {quality} с политикой "
        "«{policy}», {uniform} с равномерной."
    ),
    "heatmap.show": "Показать",
    "heatmap.scale_difference": "отличие от равномерной",
    "heatmap.keyboard": "тепловая карта; стрелки переходят между слоями, Enter открывает слой",
    "heatmap.pinned": "закреплён",
    "heatmap.hover_uniform": "равномерно: {removed}",
    "heatmap.hover_pinned": "закреплён",
    "heatmap.cell": "Блок {block}, {projection}: удалено {removed}.",
    "heatmap.points": "{value} п. п.",
    "heatmap.same": "как равномерная",
    "budget.hover": "%{y}: %{x:.1f} МиБ",
    "pins.title": "Закрепить слои и пересчитать остальное",
    "pins.hint": (
        "Выбранный слой или весь его блок сохраняет эту долю; политика делит оставшийся бюджет между остальными."
    ),
    "pins.value": "Доля удаляемых весов",
    "pins.site": "Закрепить слой",
    "pins.block": "Закрепить блок",
    "pins.undo": "Отменить",
    "pins.redo": "Вернуть",
    "pins.clear": "Снять всё",
    "pins.none": "Ничего не закреплено.",
    "pins.no_site": "Сначала выберите слой: в списке или щелчком по карте.",
    "pins.no_value": "Введите долю удаляемых весов от 0 до 0,95.",
    "address.ignored": "В ссылке есть значения, которые не удалось использовать: {names}.",
    "address.unknown_model": ("Ссылка показывает модель {model}, которая здесь ещё не разобрана: нажмите «{button}»."),
    # storage picture: one column
    "pattern.factors": "Низкий ранг в масштабе",
    "pattern.factor_in": "входной множитель",
    "pattern.factor_out": "выходной множитель",
    "pattern.factor_weight": "вес, не хранится",
    "pattern.factor_label": "{part}<br>{rows} × {columns}",
    "pattern.factors_summary": (
        "Низкоранговая форма хранит два плотных множителя, {inputs} × {rank} и {rank} × {outputs}: {share} от объёма "
        "исходного веса. Каждый выход (всего {outputs}) — линейная комбинация всех общих направлений (их {rank})."
    ),
    "pattern.column.part": "Часть",
    "pattern.column.rows": "Строки",
    "pattern.column.columns": "Столбцы",
    "pattern.mask_stored": (
        "Словарная форма хранит словарь {inputs} × {atoms}, ненулевые коэффициенты каждого выхода (по {nonzeros} на "
        "выход, всего выходов: {outputs}) и маску, по биту на пару «атом — выход»: {share} от объёма исходного веса."
    ),
    "pattern.use_dictionary": "словарь, атомов: {count}",
    "pattern.use_low_rank": "низкий ранг, направлений: {count}",
    "column.title": "Один столбец глазами обеих форм",
    "column.x": "использовано слагаемых (шт.)",
    "column.y": "сохранённая энергия (доля)",
    "column.low_rank": "низкий ранг (SVD-LLM)",
    "column.dictionary": "словарь (COMPOT)",
    "column.others": "незадействованные атомы: {count}",
    "column.table_others": "с добавлением атомов",
    "column.end_low_rank": "r = {count}: {captured}",
    "column.end_dictionary": "s = {count}: {captured}",
    "column.hover": "слагаемых: %{x}, энергия: %{customdata:.2%}",
    "column.ahead": (
        "**Почему COMPOT здесь впереди?** Выход {index} слоя {site} — типичный столбец (его выигрыш — медиана): общие "
        "направления (их {rank}) сохраняют {low_rank} его энергии; в тот же объём помещается больше атомов — {atoms}, "
        "вместе они могли бы сохранить {all_atoms}; отбор лучших для этого столбца (их {nonzeros}) стоит {cost}, и "
        "остаётся {dictionary}."
    ),
    "column.behind": (
        "**Здесь COMPOT не впереди.** Выход {index} слоя {site} — типичный столбец (его выигрыш — медиана): общие "
        "направления (их {rank}) сохраняют {low_rank} его энергии; в тот же объём помещаются атомы числом {atoms}, "
        "вместе они могли бы сохранить {all_atoms}, но отбор лучших для этого столбца (их {nonzeros}) стоит {cost}, и "
        "остаётся {dictionary}."
    ),
    "column.none": "Для этого слоя столбец ещё не вычислен; нажмите «{button}».",
    "columns.title": "Все столбцы",
    "columns.x": "столбцы (шт.)",
    "columns.lost_from": "потерянная энергия, от",
    "columns.lost_to": "потерянная энергия, до",
    "columns.summary": (
        "Доля столбцов, в которых словарь сохраняет больше энергии: {ahead} (всего столбцов: {columns}); медиана "
        "сохранённой энергии: {dictionary} у словаря, {low_rank} при низком ранге."
    ),
    "page.footer": (
        "Compression Cost Explorer {version} · коммит {commit} · Gradio {gradio} · Plotly {plotly} · "
        "PyTorch {torch} · Transformers {transformers}"
    ),
    "page.hardware": "Эта машина: {processor} · потоков CPU: {threads}",
    "page.provenance": "Пример измерен {date} · коммит {commit} · {processor} · потоков: {threads}",
    "page.papers": "Статьи: {papers}",
    "page.licences": (
        "Лицензии: приложение и SmolLM2 — Apache-2.0, Whisper — MIT; речи, текст Дарвина и чтения LibriVox — "
        "общественное достояние."
    ),
    "explore.ratio_info": "0,2 — удалить пятую часть весов сжимаемых линейных слоёв.",
    "explore.policy_info": (
        "Равномерная: всем поровну. Общий пул: лёгкие слои отдают больше. По Фишеру: что меньше вредит."
    ),
    "explore.model_info": "Модель: имя из каталога, имя на Hub или локальная папка",
    "policy_choice.fisher": "по Фишеру",
    "policy.own": "своя у каждого метода",
    "policy_choice.own": "своя у каждого метода",
    "representation.dense": "без сжатия",
    "representation.low-rank": "низкий ранг",
    "representation.low-rank, 8 and 16 bits": "низкий ранг, в 8 и 16 битах",
    "representation.dictionary": "словарь",
    "representation.2:4": "два из каждых четырёх весов",
    "compare.live_methods": "Методы для новых запусков",
    "compare.live_seeds": "Калибровок с разными seed на вариант",
    "compare.no_method": "Выберите хотя бы один метод для измерения.",
    "compare.shown_methods": "Показанные методы",
    "compare.none_shown": "Ни один метод не выбран: отметьте хотя бы один в списке «{label}».",
    "compare.measures": (
        "Дивергенция KL (в натах) — расхождение распределений следующего токена: сжатой модели от модели "
        "без сжатия, на каждом оценённом токене; совпадение top-1 — доля оценённых токенов, на которых "
        "обе модели считают самым вероятным один и тот же следующий токен."
    ),
    "compare.side_by_side": "Бок о бок: что хранит каждый запуск и чего это стоит каждому слою",
    "compare.side_by_side_hint": (
        "Каждый запуск показан в своих единицах хранения; все цветовые шкалы идут от 0 до 1, пустые "
        "ячейки — слои без сжатия."
    ),
    "compare.run_heading": "**{run}**  \nперплексия {value}",
    "runs.column.seeds": "Число калибровок (seed)",
    "runs.column.seeds_low": "По разным seed, от",
    "runs.column.seeds_high": "По разным seed, до",
    "runs.column.mean_kl": "Средняя KL (нат)",
    "runs.column.p99_kl": "99-й процентиль KL (нат)",
    "runs.column.top1": "Совпадение top-1",
    "quality.hover_seeds": ("<b>{run}</b><br>перплексия от {low} до {high}<br>калибровок с разными seed: {count}"),
    "quality.legend_seeds": "калибровки с разными seed (по штриху)",
    "native.label": "Что хранит метод {method}, по слоям",
    "native.scale.low-rank": "ранг ÷ меньшая сторона",
    "native.scale.low-rank, 8 and 16 bits": "ранг ÷ меньшая сторона",
    "native.scale.dictionary": "атомы ÷ меньшая сторона",
    "native.scale.2:4": "оставленные веса",
    "native.hover": "<b>блок {block} · {projection}</b><br>размер {shape}",
    "native.hover_low-rank": "ранг {rank} из {full}",
    "native.hover_dictionary": "атомов: {atoms}, не больше {full}<br>ненулевых в столбце: {nonzeros}",
    "native.hover_removed": "удалено {removed}",
    "native.summary.low-rank": (
        "Два множителя на слой, ранг — от {least} до {most} меньшей стороны матрицы весов; слоёв без "
        "сжатия: {dense} из {count}."
    ),
    "native.summary.dictionary": (
        "Словарь на слой, атомов — от {least} до {most} меньшей стороны матрицы весов; каждый выход "
        "использует от {thinnest} до {densest} из них; слоёв без сжатия: {dense} из {count}."
    ),
    "native.summary_none": "Все слои остаются как есть: {form}.",
    "native.summary_other": "Форма хранения: {form}.",
    "native.column.stored": "Форма хранения",
    "native.column.share": "Ранг или атомы ÷ меньшая сторона",
    "native.column.density": "Ненулевые ÷ атомы",
    "compare.intro": "Любые методы при одном бюджете и одном тексте калибровки, модель {model}. {text}.",
    "compare.run": "Запуски бок о бок (не больше {most})",
    "compare.finished": "Все выбранные методы измерены.",
    "errors.scale": "относительная ошибка выхода",
    "explore.storage": "Выбранный слой в виде разреженного словаря",
    "budget.x": "размер (МиБ, по 16 бит)",
    "page.warning": "Обратите внимание",
    "builtin.reset": "Вернуть исходное значение",
    "builtin.number": "число:",
    "builtin.range": "ползунок:",
    "builtin.clear": "Очистить",
    "builtin.remove": "Убрать",
    "live.cached_both": "Оба ответа взяты из кэша.",
    "live.cached_dense": "Ответ модели без сжатия взят из кэша.",
    "live.cached_compressed": "Ответ сжатой модели взят из кэша.",
    "live.generate_nothing": "Модель на этом заканчивает и ничего не добавляет.",
    "live.generate_same": "Продолжения совпадают токен в токен.",
    "live.latency_column.predicted": "Прогноз roofline (мс)",
    "live.latency_column.ratio": "Измерено ÷ прогноз",
    "live.latency_legend_measured": "измерено",
    "live.latency_legend_predicted": "прогноз (roofline)",
    "live.latency_hover_predicted": "{model}, прогноз",
    "live.latency_rest": (
        "Остальное уходит на внимание, нормализации, активации и накладные расходы множества мелких вызовов."
    ),
    "spectrum.summary": (
        "При удалении {removed} весов слой {site} сохраняет ранг {rank} из {full} (эффективный ранг "
        "{effective}) и теряет {lost} энергии выхода; при ранге выше {break_even} два множителя больше "
        "самой матрицы весов."
    ),
    "spectrum.summary_dense": (
        "Слой {site} остаётся здесь без сжатия (эффективный ранг {effective}); два множителя экономят "
        "место только до ранга {break_even} из {full}."
    ),
    "live.generate_differ": (
        "Продолжения расходятся на токене {position}; доля токенов, у которых есть пара на другой "
        "стороне, — {shared}; токены без пары выделены."
    ),
    "live.generate_differ_so_far": "Пока продолжения расходятся на токене {position}; различия выделены.",
    "live.latency_slower": "Меньше, но здесь не быстрее",
    "live.latency_faster": "Меньше и здесь быстрее",
    "live.latency_faster_prefill": "Меньше; здесь быстрее обработка промпта, но не генерация",
    "live.latency_faster_decode": "Меньше; здесь быстрее генерация, но не обработка промпта",
    "live.latency_not_smaller": "При этой настройке модель не меньше",
    "live.latency_summary": (
        "{verdict}: генерация занимает {decode} мс на токен против {decode_dense} мс без сжатия, "
        "обработка промпта (токенов: {tokens}) — {prefill} мс против {prefill_dense} мс (потоков: "
        "{threads}, {device})."
    ),
    "live.latency_roofline": (
        "При измеренных здесь {gflops} Гфлопс и {bandwidth} ГБ/с одни только линейные слои заняли бы "
        "{decode} мс на токен (без сжатия {decode_dense}) и {prefill} мс на обработку промпта (без "
        "сжатия {prefill_dense}). Отношение измеренной задержки к этой оценке: генерация {decode_ratio} "
        "(без сжатия {decode_dense_ratio}), обработка промпта {prefill_ratio} (без сжатия "
        "{prefill_dense_ratio})."
    ),
    "live.latency_below": "Быстрее прогноза — значит, веса читались из кэша процессора, который быстрее памяти.",
    "live.latency_execution": "Как вычисляются слои: {execution}.",
    "progress.left": "{message} · на этот шаг осталось {left}",
    "compare.live_methods_info": (
        "Неотмеченные методы занимают на двух ядрах минуты каждый. Что они показали заранее, стоит в "
        "таблице ниже при 20\u202f% удалённых весов."
    ),
    # of a speech model, instead of the texts without the ending
    "forecast.title@speech": "Прогноз: перплексия расшифровки",
    "forecast.sentence@speech": (
        "При удалении {removed} весов (метод {method}, политика «{policy}») прогноз перплексии расшифровки — "
        "{perplexity} (от {low} до {high}); без сжатия — {dense}."
    ),
    "forecast.note@speech": (
        "Насколько предсказуемы слова, когда слышна речь и известны верные предыдущие слова, на той части записей "
        "{text}, которая не участвует в калибровке ({convention}); в скобках — полоса 95\u202f%. Это не доля ошибок в "
        "словах."
    ),
    "forecast.note_measured@speech": (
        "Перплексия расшифровки при известных верных предыдущих словах, на той части записей {text}, которая не "
        "участвует в калибровке ({convention}). Это не доля ошибочных слов."
    ),
    "forecast.y@speech": "перплексия расшифровки (лог. шкала)",
    "forecast.hover@speech": "<b>{setting}</b><br>удалено %{{x:.0%}}<br>прогноз перплексии расшифровки %{{y:,.4~g}}",
    "forecast.hover_measured@speech": (
        "<b>{setting}</b><br>удалено %{{x:.0%}}<br>измеренная перплексия расшифровки %{{y:,.4~g}}"
    ),
    "forecast.summary@speech": (
        "При удалении {removed} весов (прогнозов: {count}) самый низкий прогноз — {best} ({best_policy}), "
        "перплексия расшифровки {best_value}; самый высокий — {worst} ({worst_policy}), {worst_value}."
    ),
    "forecast.summary_one@speech": (
        "При удалении {removed} весов прогноз для метода {best} ({best_policy}) — перплексия расшифровки {best_value}."
    ),
    "forecast.column.perplexity@speech": "Перплексия расшифровки",
    "heatmap.x@speech": "блок (номер в стопке)",
    "card.perplexity_predicted@speech": "Прогноз перплексии расшифровки",
    "card.perplexity_measured@speech": "Измеренная доля ошибочных слов",
    "card.perplexity_none@speech": "Доля ошибочных слов",
    "card.perplexity_none_detail@speech": "нет ни измерения, ни прогноза",
    "card.flops@speech": "FLOPs на позицию, низкий ранг",
    "unit.flops_sentence@speech": (
        "На одну позицию в каждом слое (отрезок звука в кодировщике, токен в декодере) сжимаемым слоям нужно FLOPs: "
        "{low_rank_flops} в низкоранговом виде, {dictionary_flops} в виде словарей с пропуском нулей, {dense_flops} "
        "без сжатия."
    ),
    "measured.sentence@speech": (
        "Для метода {method} с политикой «{policy}» прогноза нет. Измерено при удалении {at} весов: "
        "доля ошибочных слов {quality}, без сжатия {dense_quality}."
    ),
    "measured.beside": ("Измерено при удалении {at} весов: доля ошибочных слов {quality}, без сжатия {dense_quality}."),
    "difference.measured@speech": (
        "Измерено при удалении {at} весов, метод {method}: доля ошибочных слов {quality} с политикой "
        "«{policy}», {uniform} с равномерной."
    ),
    "compare.intro@speech": (
        "Любые методы при одном бюджете и одном наборе записей для калибровки, модель {model}. Проверено на: {text}."
    ),
    "compare.measures@speech": (
        "Доля ошибочных слов (WER): слова, которые заменены, пропущены или добавлены, относительно сказанных, после "
        "нормализации; исходная — без неё; доля ошибок в буквах (CER) — то же по буквам. Коэффициент реального "
        "времени: сколько секунд уходит на секунду речи."
    ),
    "compare.live_methods_info@speech": "Неотмеченные методы занимают на двух ядрах минуты каждый.",
    "compare.run_heading@speech": "**{run}**  \nдоля ошибочных слов {value}",
    "quality.title@speech": "Доля ошибочных слов (WER) при этом бюджете",
    "quality.x@speech": "доля ошибочных слов (WER)",
    "quality.hover@speech": "<b>{run}</b><br>доля ошибочных слов {value}<br>{spread}<br>удалено {removed}",
    "quality.interval": "интервал 95\u202f%: от {low} до {high}",
    "quality.hover_seeds@speech": (
        "<b>{run}</b><br>доля ошибочных слов от {low} до {high}<br>калибровок с разными seed: {count}"
    ),
    "quality.legend_measured@speech": "измерено (интервал 95\u202f%)",
    "quality.summary@speech": (
        "При удалении {removed} весов меньше всего ошибочных слов — у метода {best} ({best_policy}): {best_value} "
        "против {dense} без сжатия; больше всего — у метода {worst} ({worst_policy}): {worst_value}."
    ),
    "quality.summary_one@speech": (
        "Метод {best} ({best_policy}): доля ошибочных слов {best_value} против {dense} без сжатия."
    ),
    "runs.column.wer": "Доля ошибочных слов (WER)",
    "runs.column.wer_low": "Интервал 95\u202f%, от",
    "runs.column.wer_high": "Интервал 95\u202f%, до",
    "runs.column.wer_raw": "WER без нормализации",
    "runs.column.cer": "Доля ошибок в буквах (CER)",
    "runs.column.substitutions": "Замены",
    "runs.column.deletions": "Пропуски",
    "runs.column.insertions": "Вставки",
    "runs.column.real_time_factor": "Коэффициент реального времени",
    "runs.column.removed@speech": "Удалено (сжимаемые слои)",
    "runs.column.whole@speech": "Удалено (вся модель)",
    # Проверка, для моделей распознавания речи
    "speech.title": "Ваша запись, расшифрованная моделями",
    "speech.audio": "Запись",
    "speech.audio_info": (
        "Загрузите `wav`, `flac`, `mp3` или `ogg` или выберите микрофон под окном; не дольше {minutes} минут. Запись "
        "попадает только на компьютер, где работает эта страница, и примерно через час удаляется оттуда."
    ),
    "speech.example": "Пример",
    "speech.example_info": (
        "«Чувство и чувствительность» из LibriVox; заполняет запись и произнесённый текст. Сжатая модель откалибрована "
        "как раз на этих записях: ваш голос — проверка труднее."
    ),
    "speech.example_label": "{number}. {start}… ({seconds}\u00a0с)",
    "speech.reference": "Что было сказано (необязательно)",
    "speech.reference_info": "С этим текстом ошибки обеих моделей будут отмечены и сосчитаны.",
    "speech.transcribe": "Расшифровать",
    "speech.no_audio": "Записи ещё нет: запишите её, загрузите файл или выберите пример.",
    "speech.no_words": (
        "В поле «Что было сказано» нет слов, только знаки: введите то, что слышно в записи, или оставьте поле пустым."
    ),
    "speech.finished": "Обе модели расшифровали запись.",
    "speech.empty": "Здесь появится расшифровка.",
    "speech.nothing": "Модель ничего не написала.",
    "speech.written": "Как написала модель",
    "speech.normalised": (
        "Слова сравниваются в едином написании, без учёта регистра и пунктуации, и показаны выше так, как сравниваются."
    ),
    "speech.score": (
        "Доля ошибочных слов {wer}, слов: {words}; неверных: {substitutions}, пропущенных: {deletions}, лишних: "
        "{insertions}"
    ),
    "speech.speed": "Коэффициент реального времени {factor}: {seconds}\u00a0с на {audio}\u00a0с речи",
    "speech.summary_reference": (
        "По сравнению с произнесённым (слов: {words}) доля ошибочных слов у модели без сжатия — {dense} (ошибок: "
        "{dense_errors}), у сжатой — {compressed} (ошибок: {compressed_errors}): {verdict}."
    ),
    "speech.verdict_worse": "из-за сжатия здесь ошибок больше на {count}",
    "speech.verdict_better": "у сжатой модели здесь ошибок меньше на {count}, но одна запись этого не доказывает",
    "speech.verdict_same": "сжатие здесь не добавило ошибок",
    "speech.summary_same": "Обе модели написали одни и те же слова.",
    "speech.summary_differ": (
        "Слов, отличающихся от расшифровки модели без сжатия: {count} из {words}. Кто прав, можно узнать, только если "
        "указать, что было сказано."
    ),
    "speech.summary_nothing": "Модель без сжатия ничего не написала, поэтому сравнивать не с чем.",
    "speech.mark_substitute": "вместо «{word}»",
    "speech.mark_delete_reference": "пропущено",
    "speech.mark_insert_reference": "лишнее",
    "speech.mark_delete_dense": "только в расшифровке модели без сжатия",
    "speech.mark_insert_dense": "только в расшифровке сжатой модели",
    "speech.legend_word": "слово",
    "speech.legend_other": "другое",
    "speech.legend_substitute_reference": "неверное слово; над ним — то, что было сказано",
    "speech.legend_delete_reference": "пропущено: сказано, но не написано",
    "speech.legend_insert_reference": "лишнее: написано, но не сказано",
    "speech.legend_substitute_dense": "другое слово; над ним — слово модели без сжатия",
    "speech.legend_delete_dense": "написала только модель без сжатия",
    "speech.legend_insert_dense": "написала только сжатая модель",
    "speech.column.model": "Модель",
    "speech.column.wer": "Доля ошибочных слов",
    "speech.column.substitutions": "Неверные слова",
    "speech.column.deletions": "Пропущенные слова",
    "speech.column.insertions": "Лишние слова",
    "speech.column.words": "Слов сказано",
    "speech.column.audio": "Речь (с)",
    "speech.column.seconds": "Затрачено (с)",
    "speech.column.factor": "Коэффициент реального времени",
    "speech.latency_x_encoder": "кодировщик, окно в 30\u00a0с (мс)",
    "speech.latency_encoder": "кодировщик, окно в 30\u00a0с",
    "speech.latency_faster_encoder": "Меньше; здесь быстрее кодировщик, но не генерация",
    "speech.latency_faster_decode": "Меньше; здесь быстрее генерация, но не кодировщик",
    "speech.latency_summary": (
        "{verdict}: кодировщику на окно в 30\u00a0с нужно {encoder}\u00a0мс против {encoder_dense}\u00a0мс без сжатия, "
        "генерации — {decode}\u00a0мс на токен против {decode_dense}\u00a0мс; на {audio}\u00a0с речи коэффициент "
        "реального времени {factor} против {factor_dense} (потоков: {threads}, {device})."
    ),
    "speech.builtin_upload": "Загрузить файл",
    "speech.builtin_record": "Записать звук",
    "speech.builtin_drop": "Перетащите сюда звуковой файл",
    "speech.builtin_device": "Выбрать микрофон",
    "speech.builtin_pause": "Приостановить",
}
