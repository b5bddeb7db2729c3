"""The words of the guided walk, of the teacher's page and of the handout, in both languages: one content for all."""

from __future__ import annotations

ENGLISH: dict[str, str] = {
    "learn.tab": "Learn",
    "learn.title": "Six guesses about compression",
    "learn.about": (
        "Guess first, then look: every answer is measured on the model chosen above, most of them beforehand, the rest "
        "while you wait. [For teachers](./{teacher}) · [Handout to print](./{handout})"
    ),
    "learn.step": "{number}. {title}",
    "learn.guess": "Your guess",
    "learn.reveal": "Reveal",
    "learn.back": "Back",
    "learn.next": "Next step",
    "learn.right": "**You guessed it:** {option}.",
    "learn.wrong": "**You guessed:** {guess}. **Measured:** {option}.",
    "learn.try": "**Try next.** {text}",
    "learn.open": "Open the tab “{tab}”",
    "learn.done": "That is what was found.",
    "learn.dense": "Dense",
    "learn.even": "Same for every layer",
    "learn.aware": "By what it costs",
    "learn.perplexity": "Perplexity (lower is better)",
    "learn.perplexity@speech": "Word error rate, % (lower is better)",
    "learn.energy": "Energy lost, % of Σσ²",
    "learn.rank": "Singular values kept",
    "learn.limit": "10% lost",
    "learn.table_name": "Model",
    "learn.spectrum.short": "Spectrum",
    "learn.spectrum.title": "What a spectrum says",
    "learn.spectrum.text": (
        "A weight matrix is a sum of simple ones, each as large as a **singular value**. If a few of them held nearly "
        "all of the energy Σσ², the others could go. Take a layer from the middle of the model."
    ),
    "learn.spectrum.question": "How many of its singular values hold 90% of the energy?",
    "learn.spectrum.option0": "At most 10% of them",
    "learn.spectrum.option1": "10% to 30%",
    "learn.spectrum.option2": "30% to 60%",
    "learn.spectrum.option3": "More than 60%",
    "learn.spectrum.found": (
        "In `{site}`, {plain} of {all} singular values ({share}) hold 90% of the energy of the weights. Of what the "
        "layer **passes on**, the whitened spectrum, {whitened} ({whitened_share}) do. A low rank saves nothing above "
        "rank {break_even}: two factors take more room than one matrix."
    ),
    "learn.spectrum.fewer": "Fewer are enough for what is passed on: real inputs use some directions more than others.",
    "learn.spectrum.not_fewer": "What is passed on needs no fewer: here the inputs use all directions about alike.",
    "learn.spectrum.try": "In “Explore”, pick the first and the last layer: are their spectra as flat?",
    "learn.spectrum.ask": (
        "Why is a low rank worth nothing above the break-even rank? What would the spectrum of random numbers look "
        "like?"
    ),
    "learn.whitening.short": "Whitening",
    "learn.whitening.title": "Why plain SVD fails and whitening saves it",
    "learn.whitening.text": (
        "Plain SVD keeps what is large in the **weights**. Whitening measures every direction by the inputs that "
        "really arrive, and keeps what is large in the **output**. Both remove 20% of the weights, the same from every "
        "layer. The dense model's perplexity is the mark to beat."
    ),
    "learn.whitening.text@speech": (
        "Plain SVD keeps what is large in the **weights**. Whitening measures every direction by the inputs that "
        "really arrive, and keeps what is large in the **output**. Both remove 20% of the weights, the same from every "
        "layer. The dense model's word error rate is the mark to beat."
    ),
    "learn.whitening.question": "How much worse does plain SVD make the model?",
    "learn.whitening.option0": "At most 1.5 times",
    "learn.whitening.option1": "1.5 to 5 times",
    "learn.whitening.option2": "5 to 100 times",
    "learn.whitening.option3": "More than 100 times",
    "learn.whitening.found": (
        "From {dense} to {svd} by plain SVD, and to {whitened} by SVD-LLM, which whitens: the same ranks, the same "
        "bytes, another question asked."
    ),
    "learn.whitening.helps": (
        "A few directions of the input carry most of what arrives, and plain SVD does not know which."
    ),
    "learn.whitening.helps_not": (
        "On this model knowing what arrives gains nothing: its weights and its inputs agree about which directions "
        "matter, or too little is removed to tell."
    ),
    "learn.whitening.try": "In “Compare”, set 10% and run both again: does plain SVD recover?",
    "learn.whitening.ask": (
        "Both methods have the same error in some norm: in which one is each of them the best? What must be known to "
        "whiten, and where does it come from?"
    ),
    "learn.dictionary.short": "Dictionary",
    "learn.dictionary.title": "Why sparse dictionaries beat one subspace",
    "learn.dictionary.text": (
        "A low rank writes every column of a layer with the **same** few directions. A dictionary holds more "
        "directions, and every column picks its **own** few. That costs a mask: one bit for each place. Both get the "
        "same budget, mask included."
    ),
    "learn.dictionary.question": "At the same bytes, how much lower is the dictionary's figure?",
    "learn.dictionary.option0": "It is not lower",
    "learn.dictionary.option1": "Up to 10% lower",
    "learn.dictionary.option2": "10% to 30% lower",
    "learn.dictionary.option3": "More than 30% lower",
    "learn.dictionary.found": (
        "SVD-LLM reaches {subspace}, COMPOT {sparse} at the same bytes; the dense model has {dense}."
    ),
    "learn.dictionary.lower": (
        "The dictionary's figure is lower by {lower}: a union of subspaces fits columns that do not lie in one."
    ),
    "learn.dictionary.not_lower": (
        "The dictionary's figure is **not** lower: on this model one subspace serves the columns as well, and the mask "
        "takes room."
    ),
    "learn.dictionary.try": (
        "In “Compare”, scroll to the picture of how one weight is stored: which places does the mask keep?"
    ),
    "learn.dictionary.ask": (
        "What does the mask cost in bits a weight, and when would it eat the gain? Why must the dictionary be "
        "orthogonal for the codes to be found in one step?"
    ),
    "learn.budget.short": "Budget",
    "learn.budget.title": "Where a budget should go",
    "learn.budget.text": (
        "So far every layer lost the same share. Some layers hardly miss it, others ruin the model. A **loss-aware** "
        "policy estimates for each layer what losing more would cost, and splits the **same** total."
    ),
    "learn.budget.question": "How much of the way back to the dense model is that worth?",
    "learn.budget.option0": "At most 5% of the way",
    "learn.budget.option1": "5% to 25%",
    "learn.budget.option2": "25% to 50%",
    "learn.budget.option3": "More than half of it",
    "learn.budget.found": (
        "COMPOT goes from {even} to {aware} with no byte more; the dense model has {dense}. `{most}` gives most (on "
        "average {most_share} of its weights), `{least}` least ({least_share})."
    ),
    "learn.budget.back": "That is {closed} of the way back to the dense model.",
    "learn.budget.not_back": (
        "That is **no** step back to the dense model: here the estimate of what a layer costs leads astray, or all "
        "layers cost about the same."
    ),
    "learn.budget.no_way": "Split evenly, the budget costs nothing here, so there is no way back to go.",
    "learn.budget.try": "In “Explore”, move the slider and watch the heat map: which layers fade last?",
    "learn.budget.ask": (
        "Why is the best split not the one that makes all errors equal? Which layers would you protect in a model "
        "that you know, and how would you test it?"
    ),
    "learn.speed.short": "Speed",
    "learn.speed.title": "Smaller is not faster",
    "learn.speed.text": (
        "A file that is a fifth smaller should run a fifth faster, one would think. This step takes a stopwatch: both "
        "models in turns, on the machine that runs this page. It takes about a minute."
    ),
    "learn.speed.question": "How long does COMPOT at 20% take for a token, beside the dense model?",
    "learn.speed.option0": "At most 0.9 times as long: faster",
    "learn.speed.option1": "0.9 to 1.1 times: the same",
    "learn.speed.option2": "More than 1.1 times: slower",
    "learn.speed.found": (
        "A token takes {dense} ms dense and {compressed} ms compressed: {ratio} times as long, from {stored} of the "
        "bytes."
    ),
    "learn.speed.faster": (
        "On this machine, with these layers, smaller **is** faster. Do not count on it elsewhere: time is saved where "
        "a layer computes less than a dense one, and not by the shorter file."
    ),
    "learn.speed.same": (
        "The file has shrunk, the time has not: the layers take about as long to compute as dense ones. Bytes saved "
        "are time saved only where the format is made for it."
    ),
    "learn.speed.slower": (
        "A processor multiplies one dense block at full speed, and two factors with scattered weights cost extra: "
        "bytes saved are time saved only where the format is made for it."
    ),
    "learn.speed.try": (
        "In “Distil and quantise”, look at the formats: which of them are smaller **and** faster, and why?"
    ),
    "learn.speed.ask": (
        "Is decoding bound by arithmetic or by memory? Which layout of the same weights would a processor like?"
    ),
    "learn.gates.short": "Gates",
    "learn.gates.title": "Gates that learn what to drop",
    "learn.gates.text": (
        "So far nothing was trained. FineGates puts a **gate** on every row and column of the layers, and learns from "
        "a task which to close: it adapts **and** removes. Here: MiniLM, sentences judged as good or bad (SST-2), and "
        "a target of 35% of the weights."
    ),
    "learn.gates.question": "How much accuracy does that cost, beside training all weights and removing none?",
    "learn.gates.option0": "None",
    "learn.gates.option1": "Up to 1 point",
    "learn.gates.option2": "1 to 3 points",
    "learn.gates.option3": "More than 3 points",
    "learn.gates.found": (
        "With {removed} of the weights gone, gates reach {gates}; training all weights, {full}. They train {trained} "
        "numbers instead of {all}."
    ),
    "learn.gates.faster": (
        "The model that is left takes {latency} times as long: whole rows and columns leave, so this time smaller "
        "**is** faster."
    ),
    "learn.gates.same": (
        "Whole rows and columns leave, yet the model that is left takes {latency} times as long, about the same: "
        "something else than its products takes the time here."
    ),
    "learn.gates.slower": (
        "Whole rows and columns leave, yet the model that is left takes {latency} times as long: here smaller is "
        "**not** faster."
    ),
    "learn.gates.untimed": "How long the model that is left takes was not measured.",
    "learn.gates.try": "In “Adapt”, train gates yourself for two minutes, with another target.",
    "learn.gates.ask": (
        "Why does removing rows and columns speed a model up where removing single weights does not? What would happen "
        "if the gates had to be exactly 0 or 1 from the first step?"
    ),
    "teacher.title": "For teachers",
    "teacher.about": (
        "Six steps, about {minutes} minutes with discussion. Each asks for a guess before it shows a measurement: let "
        "everybody commit to one, on paper or by hands, before anybody presses “Reveal”. The [walk](./) is the last "
        "tab of the page; the [handout](./{handout}) has the same questions with room for notes."
    ),
    "teacher.before": (
        "**Before the lesson.** Open the page once and let step 5 run: it loads the model, which takes half a minute. "
        "Everything else is there at once for the default model. With another model, the first answers take minutes."
    ),
    "teacher.minutes": "{number} min",
    "teacher.question": "Question",
    "teacher.answer": "What the default model shows",
    "teacher.ask": "To discuss",
    "teacher.live": "It is measured in front of the class: machines differ.",
    "handout.title": "Six guesses about compression: handout",
    "handout.about": "Name: ______________________  Date: ______________  Model: ______________________",
    "handout.measured": "Measured: ______________________",
    "handout.why": "Why?",
    "handout.print": "Print",
}

RUSSIAN: dict[str, str] = {
    "learn.tab": "Обучение",
    "learn.title": "Шесть догадок о сжатии",
    "learn.about": (
        "Сначала предположите, потом посмотрите: каждый ответ измерен на модели, выбранной выше, большинство заранее, "
        "остальные при вас. [Для преподавателя](./{teacher}) · [Листок для печати](./{handout})"
    ),
    "learn.step": "{number}. {title}",
    "learn.guess": "Ваше предположение",
    "learn.reveal": "Показать ответ",
    "learn.back": "Назад",
    "learn.next": "Следующий шаг",
    "learn.right": "**Вы угадали:** {option}.",
    "learn.wrong": "**Вы предположили:** {guess}. **Измерено:** {option}.",
    "learn.try": "**Что попробовать дальше.** {text}",
    "learn.open": "Открыть вкладку «{tab}»",
    "learn.done": "Вот что получилось.",
    "learn.dense": "Плотная",
    "learn.even": "Поровну каждому слою",
    "learn.aware": "По цене потерь",
    "learn.perplexity": "Перплексия (чем меньше, тем лучше)",
    "learn.perplexity@speech": "Доля ошибок в словах,\u202f% (чем меньше, тем лучше)",
    "learn.energy": "Потеря энергии,\u202f% от Σσ²",
    "learn.rank": "Оставлено сингулярных чисел",
    "learn.limit": "потеряно 10\u202f%",
    "learn.table_name": "Модель",
    "learn.spectrum.short": "Спектр",
    "learn.spectrum.title": "О чём говорит спектр",
    "learn.spectrum.text": (
        "Матрица весов — это сумма простых матриц, и величина каждой — **сингулярное число**. Если бы почти вся "
        "энергия Σσ² приходилась на несколько чисел, остальные можно было бы отбросить. Возьмём слой из середины "
        "модели."
    ),
    "learn.spectrum.question": "На какую часть сингулярных чисел приходится 90\u202f% энергии?",
    "learn.spectrum.option0": "Не больше 10\u202f%",
    "learn.spectrum.option1": "От 10 до 30\u202f%",
    "learn.spectrum.option2": "От 30 до 60\u202f%",
    "learn.spectrum.option3": "Больше 60\u202f%",
    "learn.spectrum.found": (
        "В слое `{site}` на {plain} из {all} сингулярных чисел ({share}) приходится 90\u202f% энергии весов. В том, "
        "что слой **передаёт дальше**, то есть в отбелённом спектре, нужно {whitened} ({whitened_share}). Малый ранг "
        "ничего не экономит выше ранга {break_even}: два множителя занимают больше места, чем одна матрица."
    ),
    "learn.spectrum.fewer": (
        "Для того, что передаётся дальше, хватает меньшего числа: настоящие входы используют одни направления чаще "
        "других."
    ),
    "learn.spectrum.not_fewer": (
        "Для того, что передаётся дальше, нужно не меньше: здесь входы используют все направления примерно одинаково."
    ),
    "learn.spectrum.try": "На вкладке «Обзор» выберите первый и последний слой: такие же ли пологие у них спектры?",
    "learn.spectrum.ask": (
        "Почему выше ранга безубыточности малый ранг ничего не даёт? Как выглядел бы спектр случайных чисел?"
    ),
    "learn.whitening.short": "Отбеливание",
    "learn.whitening.title": "Почему простое SVD не справляется и как помогает отбеливание",
    "learn.whitening.text": (
        "Простое SVD оставляет то, что велико в **весах**. Отбеливание измеряет каждое направление входами, которые "
        "действительно приходят, и оставляет то, что велико на **выходе**. Оба убирают 20\u202f% весов, поровну из "
        "каждого слоя. Сравниваем с перплексией плотной модели."
    ),
    "learn.whitening.text@speech": (
        "Простое SVD оставляет то, что велико в **весах**. Отбеливание измеряет каждое направление входами, которые "
        "действительно приходят, и оставляет то, что велико на **выходе**. Оба убирают 20\u202f% весов, поровну из "
        "каждого слоя. Сравниваем с долей ошибок плотной модели."
    ),
    "learn.whitening.question": "Во сколько раз хуже станет модель после простого SVD?",
    "learn.whitening.option0": "Не больше чем в 1,5 раза",
    "learn.whitening.option1": "В 1,5–5 раз",
    "learn.whitening.option2": "В 5–100 раз",
    "learn.whitening.option3": "Больше чем в 100 раз",
    "learn.whitening.found": (
        "С {dense} до {svd} после простого SVD и до {whitened} после SVD-LLM с отбеливанием: те же ранги, те же байты, "
        "но другой вопрос."
    ),
    "learn.whitening.helps": "Большую часть входа несут немногие направления, а простое SVD не знает какие.",
    "learn.whitening.helps_not": (
        "На этой модели знание входов ничего не даёт: веса и входы согласны в том, какие направления важны, или "
        "убрано слишком мало, чтобы это увидеть."
    ),
    "learn.whitening.try": "На вкладке «Сравнение» задайте 10\u202f% и повторите оба метода: оправится ли простое SVD?",
    "learn.whitening.ask": (
        "Каждый из методов лучший в своей норме: в какой? Что нужно знать, чтобы отбелить, и откуда это берётся?"
    ),
    "learn.dictionary.short": "Словарь",
    "learn.dictionary.title": "Почему разреженные словари лучше одного подпространства",
    "learn.dictionary.text": (
        "Малый ранг записывает все столбцы слоя **одними и теми же** немногими направлениями. В словаре направлений "
        "больше, и каждый столбец выбирает **свои**. За это платят маской: один бит на место. Бюджет у обоих "
        "одинаковый, вместе с маской."
    ),
    "learn.dictionary.question": "Насколько ниже показатель словаря при тех же байтах?",
    "learn.dictionary.option0": "Не ниже",
    "learn.dictionary.option1": "Ниже не больше чем на 10\u202f%",
    "learn.dictionary.option2": "Ниже на 10–30\u202f%",
    "learn.dictionary.option3": "Ниже больше чем на 30\u202f%",
    "learn.dictionary.found": (
        "SVD-LLM получает {subspace}, COMPOT — {sparse} при тех же байтах; у плотной модели {dense}."
    ),
    "learn.dictionary.lower": (
        "Показатель словаря ниже на {lower}: объединение подпространств подходит столбцам, которые не лежат в одном."
    ),
    "learn.dictionary.not_lower": (
        "Показатель словаря **не** ниже: на этой модели столбцам годится и одно подпространство, а маска занимает "
        "место."
    ),
    "learn.dictionary.try": "На вкладке «Сравнение» найдите схему хранения одной матрицы: какие места оставляет маска?",
    "learn.dictionary.ask": (
        "Сколько бит на вес стоит маска и когда она съест выигрыш? Почему для поиска кодов за один шаг словарь должен "
        "быть ортогональным?"
    ),
    "learn.budget.short": "Бюджет",
    "learn.budget.title": "Куда направить бюджет",
    "learn.budget.text": (
        "До сих пор каждый слой терял одинаковую долю. Одни слои этого почти не замечают, другие портят всю модель. "
        "**Учитывающая потери** политика оценивает для каждого слоя, чего стоит потерять больше, и делит **тот же** "
        "бюджет."
    ),
    "learn.budget.question": "Какую часть пути назад к плотной модели это даёт?",
    "learn.budget.option0": "Не больше 5\u202f% пути",
    "learn.budget.option1": "От 5 до 25\u202f%",
    "learn.budget.option2": "От 25 до 50\u202f%",
    "learn.budget.option3": "Больше половины",
    "learn.budget.found": (
        "COMPOT переходит с {even} на {aware} без единого лишнего байта; у плотной модели {dense}. Больше всего "
        "отдаёт `{most}` (в среднем {most_share} весов), меньше всего `{least}` ({least_share})."
    ),
    "learn.budget.back": "Это {closed} пути назад к плотной модели.",
    "learn.budget.not_back": (
        "Это **ни** шагу назад к плотной модели: здесь оценка цены слоя сбивает с пути или все слои стоят примерно "
        "одинаково."
    ),
    "learn.budget.no_way": "Поделённый поровну, бюджет здесь ничего не стоит, так что возвращаться некуда.",
    "learn.budget.try": "На вкладке «Обзор» двигайте ползунок и следите за картой: какие слои держатся дольше всех?",
    "learn.budget.ask": (
        "Почему лучший раздел не тот, при котором все ошибки равны? Какие слои знакомой модели вы бы берегли и как бы "
        "это проверили?"
    ),
    "learn.speed.short": "Скорость",
    "learn.speed.title": "Меньше не значит быстрее",
    "learn.speed.text": (
        "Кажется, что файл на пятую часть меньше должен и работать на пятую часть быстрее. На этом шаге включается "
        "секундомер: обе модели по очереди, на той машине, где работает эта страница. Это займёт около минуты."
    ),
    "learn.speed.question": "Сколько времени на токен нужно COMPOT при 20\u202f% по сравнению с плотной моделью?",
    "learn.speed.option0": "Не больше 0,9: быстрее",
    "learn.speed.option1": "От 0,9 до 1,1: столько же",
    "learn.speed.option2": "Больше 1,1: медленнее",
    "learn.speed.found": (
        "Токен занимает {dense} мс у плотной модели и {compressed} мс у сжатой: отношение {ratio} при {stored} байтов."
    ),
    "learn.speed.faster": (
        "На этой машине и с этими слоями меньше **значит** быстрее. Не рассчитывайте на это в другом месте: время "
        "экономит слой, который вычисляет меньше плотного, а не короткий файл."
    ),
    "learn.speed.same": (
        "Файл стал короче, а время нет: слои вычисляются примерно столько же, сколько плотные. Сбережённые байты — "
        "это сбережённое время только там, где для этого сделан формат."
    ),
    "learn.speed.slower": (
        "Один плотный блок процессор умножает на полной скорости, а два множителя с разбросанными весами стоят "
        "лишнего: сбережённые байты — это сбережённое время только там, где для этого сделан формат."
    ),
    "learn.speed.try": (
        "На вкладке «Дистилляция и квантование» посмотрите форматы: какие из них и меньше, **и** быстрее, и почему?"
    ),
    "learn.speed.ask": (
        "Во что упирается декодирование: в арифметику или в память? Какое расположение тех же весов удобно процессору?"
    ),
    "learn.gates.short": "Вентили",
    "learn.gates.title": "Вентили, которые учатся отбрасывать",
    "learn.gates.text": (
        "До сих пор ничего не обучалось. FineGates ставит **вентиль** на каждую строку и каждый столбец слоёв и учится "
        "на задаче, какие закрыть: приспосабливает **и** удаляет. Здесь: MiniLM, оценка предложений (SST-2) и цель в "
        "35\u202f% весов."
    ),
    "learn.gates.question": "Сколько точности это стоит по сравнению с обучением всех весов без удаления?",
    "learn.gates.option0": "Нисколько",
    "learn.gates.option1": "Не больше 1 пункта",
    "learn.gates.option2": "От 1 до 3 пунктов",
    "learn.gates.option3": "Больше 3 пунктов",
    "learn.gates.found": (
        "Без {removed} весов вентили дают {gates}; обучение всех весов — {full}. Обучается {trained} чисел вместо "
        "{all}."
    ),
    "learn.gates.faster": (
        "Оставшейся модели нужно {latency} прежнего времени: уходят целые строки и столбцы, так что на этот раз "
        "меньше **значит** быстрее."
    ),
    "learn.gates.same": (
        "Уходят целые строки и столбцы, но оставшейся модели нужно {latency} прежнего времени, то есть примерно "
        "столько же: здесь время уходит не на умножения."
    ),
    "learn.gates.slower": (
        "Уходят целые строки и столбцы, но оставшейся модели нужно {latency} прежнего времени: здесь меньше **не** "
        "значит быстрее."
    ),
    "learn.gates.untimed": "Сколько времени нужно оставшейся модели, не измерено.",
    "learn.gates.try": "На вкладке «Адаптация» сами обучите вентили за две минуты, с другой целью.",
    "learn.gates.ask": (
        "Почему удаление строк и столбцов ускоряет модель, а удаление отдельных весов нет? Что было бы, если бы "
        "вентили с первого шага могли быть только 0 или 1?"
    ),
    "teacher.title": "Для преподавателя",
    "teacher.about": (
        "Шесть шагов, около {minutes} минут с обсуждением. Каждый сначала спрашивает, а потом показывает измерение: "
        "пусть каждый решит для себя, на бумаге или поднятием руки, прежде чем кто-то нажмёт «Показать ответ». "
        "[Обучение](./ru) — последняя вкладка страницы; на [листке](./{handout}) те же вопросы с местом для заметок."
    ),
    "teacher.before": (
        "**До занятия.** Откройте страницу и запустите шаг 5: он загружает модель, это полминуты. Всё остальное для "
        "модели по умолчанию показывается сразу. С другой моделью первые ответы займут минуты."
    ),
    "teacher.minutes": "{number} мин",
    "teacher.question": "Вопрос",
    "teacher.answer": "Что показывает модель по умолчанию",
    "teacher.ask": "Обсудить",
    "teacher.live": "Измеряется на глазах у группы: машины разные.",
    "handout.title": "Шесть догадок о сжатии: листок",
    "handout.about": "Имя: ______________________  Дата: ______________  Модель: ______________________",
    "handout.measured": "Измерено: ______________________",
    "handout.why": "Почему?",
    "handout.print": "Печать",
}
