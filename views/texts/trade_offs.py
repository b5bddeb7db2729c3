"""The words of the tab “Trade-offs”, in both languages."""

from __future__ import annotations

ENGLISH: dict[str, str] = {
    "trade_offs.tab": "Trade-offs",
    "trade_offs.title": "Quality against size or time",
    "trade_offs.intro": (
        "Every run that is measured on this page becomes a point and stays in this browser, beside the runs that came "
        "with the app."
    ),
    "trade_offs.empty": (
        "No run has been measured for this model yet: measure some on the tab “{compare}”, or bring in a CSV."
    ),
    # the choice
    "trade_offs.measured_on": "Measured on",
    "trade_offs.measured_on_info": "One model, text and convention at a time: others are no comparison.",
    "trade_offs.measure_label": "{metric} · {model} · {text} · {convention}",
    "trade_offs.measure_published": "published: {metric} · {model} · {text} · {convention}",
    "trade_offs.metric.perplexity": "perplexity",
    "trade_offs.metric.wer": "word error rate",
    "trade_offs.cost": "Against",
    "trade_offs.cost.size": "size",
    "trade_offs.cost.decode": "time of a decoded token",
    "trade_offs.cost.prefill": "time of a prefill",
    "trade_offs.cost.prefill@speech": "time of the encoder",
    "trade_offs.budget.size": "Budget (MB); 0: none",
    "trade_offs.budget.time": "Budget (ms); 0: none",
    # names and numbers
    "trade_offs.seed": "seed {seed}",
    "trade_offs.step.dense": "dense",
    "trade_offs.step.compressed": "compressed",
    "trade_offs.step.quantised": "quantised",
    "trade_offs.step.recovered": "recovered",
    "trade_offs.origin.measured": "measured",
    "trade_offs.origin.published": "published",
    "trade_offs.megabytes": "{value} MB",
    "trade_offs.milliseconds": "{value} ms",
    "trade_offs.percentage_points": "{value} percentage points",
    "trade_offs.with_bar": "{value} ({low} to {high})",
    # chart
    "trade_offs.x.size": "size of the whole model (MB, 10⁶ bytes)",
    "trade_offs.x.decode": "time of a decoded token (ms)",
    "trade_offs.x.prefill": "time of a prefill (ms)",
    "trade_offs.x.prefill@speech": "time of the encoder for 30 s of sound (ms)",
    "trade_offs.y": "perplexity (log axis)",
    "trade_offs.y@speech": "word error rate (%)",
    "trade_offs.frontier": "frontier",
    "trade_offs.dominated": "dominated (open, faint)",
    "trade_offs.dominated_hover": "dominated: another run is no larger or slower, and no worse",
    "trade_offs.chosen": "chosen run",
    "trade_offs.hover_quality": "perplexity {value}",
    "trade_offs.hover_quality@speech": "word error rate {value}",
    "trade_offs.budget_mark": "budget {value}",
    "trade_offs.summary": (
        "{count} runs of {model}, all measured on {text} ({convention}). {frontier} are on the frontier: no other run "
        "costs no more and is no worse."
    ),
    "trade_offs.summary_empty": "No run has been measured like this yet.",
    "trade_offs.summary_untimed": (
        "None of the {count} runs has been timed yet: choose one below and press “{button}”, or time one on the tab "
        "“Test live”."
    ),
    "trade_offs.bars": "Vertical bars: one standard error of the perplexity to both sides.",
    "trade_offs.bars@speech": "Vertical bars: 95% interval over the recordings.",
    "trade_offs.bars_time": "Times ({convention}) with half their interquartile range to both sides.",
    "trade_offs.far": "Runs with more than eleven times the dense perplexity, in the table alone: {count}.",
    "trade_offs.left_out": "Not timed like this, and so not shown: {count}.",
    "trade_offs.published": "These figures were published elsewhere and not measured here: {sources}.",
    "trade_offs.budget_best": "Within {budget} the best is {run}: perplexity {value} at {cost}.",
    "trade_offs.budget_best@speech": "Within {budget} the best is {run}: word error rate {value} at {cost}.",
    "trade_offs.budget_none": "No run is within {budget}.",
    # columns
    "trade_offs.column.run": "Run",
    "trade_offs.column.from": "Made from",
    "trade_offs.column.method": "Method",
    "trade_offs.column.policy": "Policy",
    "trade_offs.column.removed": "Removed",
    "trade_offs.column.size": "Size (MB)",
    "trade_offs.column.size_change": "Change of size",
    "trade_offs.column.quality": "Perplexity",
    "trade_offs.column.quality@speech": "Word error rate",
    "trade_offs.column.quality_change": "Change of perplexity",
    "trade_offs.column.quality_change@speech": "Change of word error rate (points)",
    "trade_offs.column.low": "Bar, low",
    "trade_offs.column.high": "Bar, high",
    "trade_offs.column.predicted": "Predicted",
    "trade_offs.column.prefill": "Prefill (ms)",
    "trade_offs.column.prefill@speech": "Encoder (ms)",
    "trade_offs.column.prefill_iqr": "Its interquartile range",
    "trade_offs.column.prefill_change": "Change of prefill",
    "trade_offs.column.prefill_change@speech": "Change of encoder",
    "trade_offs.column.decode": "Decode (ms a token)",
    "trade_offs.column.decode_iqr": "Its interquartile range (ms)",
    "trade_offs.column.decode_change": "Change of decode",
    "trade_offs.column.dominated": "Dominated by",
    "trade_offs.column.origin": "Origin",
    "trade_offs.column.step": "Step",
    "trade_offs.column.made": "Made",
    "trade_offs.column.source": "Source",
    "trade_offs.column.setting": "What differs",
    "trade_offs.column.before": "Chosen run",
    "trade_offs.column.after": "Other run",
    "trade_offs.column.change": "Change",
    # CSV
    "trade_offs.csv_out": "Download the runs (CSV)",
    "trade_offs.csv_in": "Bring in runs (CSV)",
    "trade_offs.csv_hint": (
        "The file holds all your runs, and those that came with the app for what is chosen above. A file that is "
        "brought in needs at least the columns {columns}."
    ),
    "trade_offs.csv_done": "Runs in the file: {runs}; new: {new}.",
    "trade_offs.csv_measures": (
        "These were measured otherwise than anything here, and have axes of their own under “{label}”: {measures}."
    ),
    "trade_offs.csv_ignored": "Columns that mean nothing here were passed over: {names}.",
    "trade_offs.csv_no_text": "The file is not UTF-8 text: save it as CSV in UTF-8, and bring it in again.",
    "trade_offs.csv_large": "The file has {size} MB; at most {most} MB are read: split it into smaller files.",
    # the smallest model
    "trade_offs.smallest_title": "Find me the smallest model",
    "trade_offs.smallest_allowance": "Perplexity may grow by (%)",
    "trade_offs.smallest_allowance@speech": "Word error rate may grow by (% of it)",
    "trade_offs.smallest_button": "Find",
    "trade_offs.smallest_hint": "“{button}” answers at once from the forecasts; one measurement then verifies it.",
    "trade_offs.smallest_hint@speech": (
        "Word error rates have no forecast: “{button}” looks among the runs that have been measured."
    ),
    "trade_offs.smallest_no_number": "Give a number of per cent that the quality may lose, such as 5.",
    "trade_offs.smallest_answer": (
        "Smallest model within +{allowance}: {method} with policy {policy}, {removed} of the compressible weights "
        "removed, {size} instead of {dense}. Predicted change of perplexity {change} (95% band {low} to {high})."
    ),
    "trade_offs.smallest_sure": "To be 95% sure, remove {sure} at most.",
    "trade_offs.smallest_sure_none": "To be 95% sure, remove nothing.",
    "trade_offs.smallest_end": "The forecast ends there; more might go.",
    "trade_offs.smallest_nothing": (
        "Within +{allowance} no method with a forecast may remove anything: allow more than that."
    ),
    "trade_offs.smallest_measured@speech": (
        "Word error rates have no forecast. Of what has been measured, the smallest model within +{allowance} of the "
        "dense word error rate is {run}: {value} against {dense}, {size}."
    ),
    "trade_offs.smallest_measured": (
        "No forecast has been made for this model (“python -m compression predict” makes one). Of what has been "
        "measured, the smallest model within +{allowance} is {run}: perplexity {value} against {dense}, {size}."
    ),
    "trade_offs.smallest_none_measured": (
        "No forecast has been made for this model (“python -m compression predict” makes one), and no measured run is "
        "within +{allowance}: allow more, or measure some on the tab “{compare}”."
    ),
    "trade_offs.smallest_none_measured@speech": (
        "Word error rates have no forecast, and no measured run is within +{allowance}: allow more, or measure some on "
        "the tab “{compare}”."
    ),
    "trade_offs.smallest_verify": "Verify by one measurement",
    "trade_offs.smallest_first": "Press “{button}” first: there is no answer to verify yet.",
    "trade_offs.smallest_verdict": (
        "Predicted {predicted} (95% band {low} to {high}), measured {measured} on {text}: {off} off, {inside} the "
        "band. Perplexity {value} against {dense}, {size}."
    ),
    "trade_offs.inside": "inside",
    "trade_offs.outside": "outside",
    "trade_offs.smallest_kept": "It stays within +{allowance}.",
    "trade_offs.smallest_missed": "It does not stay within +{allowance}: remove less.",
    "trade_offs.smallest_table": "All candidates, the smallest first",
    "trade_offs.candidate.removed": "May be removed",
    "trade_offs.candidate.change": "Predicted change",
    "trade_offs.candidate.low": "Band, low",
    "trade_offs.candidate.high": "Band, high",
    "trade_offs.candidate.sure": "Surely (95%)",
    "trade_offs.candidate.remark": "Remark",
    # the chosen run
    "trade_offs.run_title": "One run",
    "trade_offs.run": "Run (or click a point)",
    "trade_offs.run_none": "There is no run to choose yet.",
    "trade_offs.gone": "This run is not there any more: choose one from the list.",
    "trade_offs.fact.quality": "Perplexity",
    "trade_offs.fact.quality@speech": "Word error rate",
    "trade_offs.fact.size": "Size",
    "trade_offs.fact.times": "Times",
    "trade_offs.fact.times_value": "prefill {prefill} ms, decode {decode} ms a token ({convention})",
    "trade_offs.fact.times_value@speech": "encoder {prefill} ms, decode {decode} ms a token ({convention})",
    "trade_offs.fact.no_times": "not measured yet",
    "trade_offs.fact.from": "Made from",
    "trade_offs.fact.from_dense": "the dense model",
    "trade_offs.fact.settings": "Settings that differ from the usual ones",
    "trade_offs.fact.no_settings": "none",
    "trade_offs.fact.unknown_settings": "not known: it was not made here",
    "trade_offs.fact.made": "Made",
    "trade_offs.fact.origin": "Where from",
    "trade_offs.fact.example": "came with the app",
    "trade_offs.fact.own": "yours, kept in this browser: measured here, brought in, or named",
    "trade_offs.fact.published": "published: {source}",
    "trade_offs.fact.measured_on": "Measured on",
    "trade_offs.name": "Name of the run",
    "trade_offs.rename": "Rename",
    "trade_offs.renamed": "The run is called {name} now.",
    "trade_offs.unnamed": "The run has its own name again.",
    "trade_offs.remove": "Remove",
    "trade_offs.removed": "The run was removed.",
    "trade_offs.not_removed": "This run came with the app and cannot be removed; only your own can.",
    "trade_offs.repeat_title": "Repeat with one change",
    "trade_offs.what": "What changes",
    "trade_offs.what.removed_fraction": "share removed",
    "trade_offs.what.method": "method",
    "trade_offs.what.policy": "policy",
    "trade_offs.what.seed": "calibration seed",
    "trade_offs.value": "New value",
    "trade_offs.repeat": "Repeat",
    "trade_offs.repeat_dense": (
        "From the dense model only the method can change: it removes {removed} under its own policy."
    ),
    "trade_offs.repeat_no_recipe": (
        "This run cannot be repeated here: nothing says how it was made. Choose one that was measured here."
    ),
    "trade_offs.repeat_same": "Choose a value other than the run's own: nothing would change.",
    "trade_offs.repeat_no_value": "Choose what changes, and its new value.",
    "trade_offs.repeated": "{run}: perplexity {value}. It is in the picture.",
    "trade_offs.repeated@speech": "{run}: word error rate {value}. It is in the picture.",
    "trade_offs.repeated_elsewhere": (
        "The text of the chosen run is not here any more, so this was measured on {text}: the two are no comparison, "
        "and the new run is under “{label}”."
    ),
    "trade_offs.latency": "Measure its latency",
    "trade_offs.latency_done": "Measured: prefill {prefill} ms, decode {decode} ms a token.",
    "trade_offs.latency_done@speech": "Measured: encoder {prefill} ms, decode {decode} ms a token.",
    "trade_offs.other": "Compare with",
    "trade_offs.other_info": "Every other run, also of another measure.",
    "trade_offs.compared": "From {before} to {after}: {changes}.",
    "trade_offs.compared_no_quality": (
        "The two were not measured on the same text by the same convention, so their quality is no comparison."
    ),
    "trade_offs.compared_no_time": "Their times were not both measured in the same way.",
    "trade_offs.delta_size": "size {value}",
    "trade_offs.delta_quality": "perplexity {value}",
    "trade_offs.delta_quality@speech": "word error rate {value}",
    "trade_offs.delta_decode": "decode {value}",
    "trade_offs.delta_prefill": "prefill {value}",
    "trade_offs.delta_prefill@speech": "encoder {value}",
    "trade_offs.setting.method": "method",
    "trade_offs.setting.policy": "policy",
    "trade_offs.setting.removed_fraction": "share removed",
    "trade_offs.setting.calibration_text": "calibration text",
    "trade_offs.setting.num_sequences": "calibration sequences",
    "trade_offs.setting.sequence_length": "tokens a sequence",
    "trade_offs.setting.gradient_sequences": "sequences for gradients",
    "trade_offs.setting.seed": "calibration seed",
    "trade_offs.setting.iterations": "iterations",
    "trade_offs.setting.atoms_per_nonzero": "atoms a nonzero",
    "trade_offs.setting.damping": "damping",
    "trade_offs.setting.recalibrate": "calibrate again behind compressed blocks",
    "trade_offs.setting.guards": "bounds for a site",
    "trade_offs.setting.pins": "pinned sites",
    "trade_offs.setting.settings": "settings of the method",
    "trade_offs.setting.preset": "preset",
    "trade_offs.setting.language": "language",
    "trade_offs.setting.count_padding": "silence counts",
    # the map
    "trade_offs.map_title": "Run map: which run came from which",
    "trade_offs.map_all": "all runs",
    "trade_offs.map_quality": "perplexity {value}",
    "trade_offs.map_quality@speech": "WER {value}",
    "trade_offs.map_summary": (
        "{count} runs, each below the one it was made from, at most {depth} steps from the dense model; changes are "
        "from that run."
    ),
    "trade_offs.map_hidden": (
        "Runs that came with the app and are dominated are hidden: {count}. “{label}” shows them."
    ),
}

RUSSIAN: dict[str, str] = {
    "trade_offs.tab": "Компромиссы",
    "trade_offs.title": "Качество против размера или времени",
    "trade_offs.intro": (
        "Каждый запуск, измеренный на этой странице, становится точкой и сохраняется в этом браузере — рядом с "
        "запусками, которые поставляются с приложением."
    ),
    "trade_offs.empty": (
        "Для этой модели ещё ничего не измерено: измерьте что-нибудь на вкладке «{compare}» или загрузите CSV."
    ),
    "trade_offs.measured_on": "На чём измерено",
    "trade_offs.measured_on_info": "Одна модель, один текст и один способ измерения: остальное несравнимо.",
    "trade_offs.measure_label": "{metric} · {model} · {text} · {convention}",
    "trade_offs.measure_published": "опубликовано: {metric} · {model} · {text} · {convention}",
    "trade_offs.metric.perplexity": "перплексия",
    "trade_offs.metric.wer": "доля ошибочных слов",
    "trade_offs.cost": "Чем платим",
    "trade_offs.cost.size": "размер",
    "trade_offs.cost.decode": "время генерации токена",
    "trade_offs.cost.prefill": "время обработки промпта",
    "trade_offs.cost.prefill@speech": "время кодировщика",
    "trade_offs.budget.size": "Бюджет (МБ); 0 — нет",
    "trade_offs.budget.time": "Бюджет (мс); 0 — нет",
    "trade_offs.seed": "зерно {seed}",
    "trade_offs.step.dense": "без сжатия",
    "trade_offs.step.compressed": "сжата",
    "trade_offs.step.quantised": "квантована",
    "trade_offs.step.recovered": "дообучена",
    "trade_offs.origin.measured": "измерено",
    "trade_offs.origin.published": "опубликовано",
    "trade_offs.megabytes": "{value}\u00a0МБ",
    "trade_offs.milliseconds": "{value}\u00a0мс",
    "trade_offs.percentage_points": "{value}\u00a0п.\u00a0п.",
    "trade_offs.with_bar": "{value} (от {low} до {high})",
    "trade_offs.x.size": "размер всей модели (МБ, 10⁶ байт)",
    "trade_offs.x.decode": "время генерации токена (мс)",
    "trade_offs.x.prefill": "время обработки промпта (мс)",
    "trade_offs.x.prefill@speech": "время кодировщика на 30\u00a0с звука (мс)",
    "trade_offs.y": "перплексия (лог. шкала)",
    "trade_offs.y@speech": "доля ошибочных слов (в процентах)",
    "trade_offs.frontier": "граница",
    "trade_offs.dominated": "не на границе (полые, бледные)",
    "trade_offs.dominated_hover": "не на границе: есть запуск не дороже и не хуже",
    "trade_offs.chosen": "выбранный запуск",
    "trade_offs.hover_quality": "перплексия {value}",
    "trade_offs.hover_quality@speech": "доля ошибочных слов {value}",
    "trade_offs.budget_mark": "бюджет {value}",
    "trade_offs.summary": (
        "Запусков модели {model}: {count}; все измерены на {text} ({convention}). На границе: {frontier} — для "
        "каждого из них нет другого не дороже и не хуже."
    ),
    "trade_offs.summary_empty": "Так ещё ничего не измерено.",
    "trade_offs.summary_untimed": (
        "Время ни одного запуска ещё не измерено (запусков: {count}): выберите ниже любой и нажмите «{button}» или "
        "измерьте задержку на вкладке «Проверка»."
    ),
    "trade_offs.bars": "Вертикальные отрезки: одна стандартная ошибка перплексии в обе стороны.",
    "trade_offs.bars@speech": "Вертикальные отрезки: интервал 95\u202f% по записям.",
    "trade_offs.bars_time": "Время ({convention}) — с половиной межквартильного размаха в обе стороны.",
    "trade_offs.far": "Только в таблице — запуски, где перплексия выросла более чем в одиннадцать раз: {count}.",
    "trade_offs.left_out": "Время так не измерено, поэтому на графике нет запусков: {count}.",
    "trade_offs.published": "Эти числа опубликованы другими и здесь не измерены: {sources}.",
    "trade_offs.budget_best": "В пределах {budget} лучший запуск — {run}: перплексия {value}, {cost}.",
    "trade_offs.budget_best@speech": "В пределах {budget} лучший запуск — {run}: доля ошибочных слов {value}, {cost}.",
    "trade_offs.budget_none": "В пределах {budget} нет ни одного запуска.",
    "trade_offs.column.run": "Запуск",
    "trade_offs.column.from": "Из чего получен",
    "trade_offs.column.method": "Метод",
    "trade_offs.column.policy": "Политика",
    "trade_offs.column.removed": "Удалено",
    "trade_offs.column.size": "Размер (МБ)",
    "trade_offs.column.size_change": "Изменение размера",
    "trade_offs.column.quality": "Перплексия",
    "trade_offs.column.quality@speech": "Доля ошибочных слов",
    "trade_offs.column.quality_change": "Изменение перплексии",
    "trade_offs.column.quality_change@speech": "Изменение доли ошибочных слов (п.\u00a0п.)",
    "trade_offs.column.low": "Отрезок, снизу",
    "trade_offs.column.high": "Отрезок, сверху",
    "trade_offs.column.predicted": "Прогноз",
    "trade_offs.column.prefill": "Обработка промпта (мс)",
    "trade_offs.column.prefill@speech": "Кодировщик (мс)",
    "trade_offs.column.prefill_iqr": "Её межквартильный размах",
    "trade_offs.column.prefill_change": "Изменение обработки промпта",
    "trade_offs.column.prefill_change@speech": "Изменение времени кодировщика",
    "trade_offs.column.decode": "Генерация (мс на токен)",
    "trade_offs.column.decode_iqr": "Её межквартильный размах (мс)",
    "trade_offs.column.decode_change": "Изменение генерации",
    "trade_offs.column.dominated": "Уступает запуску",
    "trade_offs.column.origin": "Происхождение",
    "trade_offs.column.step": "Шаг",
    "trade_offs.column.made": "Когда",
    "trade_offs.column.source": "Источник",
    "trade_offs.column.setting": "Что различается",
    "trade_offs.column.before": "Выбранный запуск",
    "trade_offs.column.after": "Другой запуск",
    "trade_offs.column.change": "Изменение",
    "trade_offs.csv_out": "Скачать запуски (CSV)",
    "trade_offs.csv_in": "Загрузить запуски (CSV)",
    "trade_offs.csv_hint": (
        "В файле — все ваши запуски и те из поставляемых с приложением, что относятся к выбранному выше. В "
        "загружаемом файле нужны по меньшей мере столбцы {columns}."
    ),
    "trade_offs.csv_done": "Запусков в файле: {runs}; новых: {new}.",
    "trade_offs.csv_measures": (
        "Измерены иначе, чем всё, что здесь было, и поэтому имеют свои оси — см. «{label}»: {measures}."
    ),
    "trade_offs.csv_ignored": "Столбцы, которые здесь ничего не значат, пропущены: {names}.",
    "trade_offs.csv_no_text": "Файл — не текст в UTF-8: сохраните его как CSV в кодировке UTF-8 и загрузите снова.",
    "trade_offs.csv_large": "В файле {size}\u00a0МБ, а читается не более {most}\u00a0МБ: разделите его на части.",
    "trade_offs.smallest_title": "Найти самую маленькую модель",
    "trade_offs.smallest_allowance": "Насколько может вырасти перплексия (в процентах)",
    "trade_offs.smallest_allowance@speech": "Насколько может вырасти доля ошибочных слов (в процентах от неё)",
    "trade_offs.smallest_button": "Найти",
    "trade_offs.smallest_hint": "Кнопка «{button}» отвечает сразу, по прогнозам; одно измерение затем проверит ответ.",
    "trade_offs.smallest_hint@speech": (
        "Для доли ошибочных слов прогноза нет: кнопка «{button}» ищет среди измеренных запусков."
    ),
    "trade_offs.smallest_no_number": "Задайте, на сколько процентов может ухудшиться качество, например 5.",
    "trade_offs.smallest_answer": (
        "Самая маленькая модель в пределах +{allowance}: метод {method}, политика «{policy}», удалено {removed} "
        "сжимаемых весов, {size} вместо {dense}. Прогноз изменения перплексии — {change} (полоса 95\u202f%: от {low} "
        "до {high})."
    ),
    "trade_offs.smallest_sure": "Чтобы быть уверенным на 95\u202f%, удаляйте не более {sure} весов.",
    "trade_offs.smallest_sure_none": "Чтобы быть уверенным на 95\u202f%, не удаляйте ничего.",
    "trade_offs.smallest_end": "На этом прогноз кончается; возможно, удалить можно и больше.",
    "trade_offs.smallest_nothing": (
        "В пределах +{allowance} ни один метод с прогнозом не может удалить ничего: разрешите больше."
    ),
    "trade_offs.smallest_measured@speech": (
        "Для доли ошибочных слов прогноза нет. Из измеренного самая маленькая модель в пределах +{allowance} от доли "
        "ошибочных слов без сжатия — {run}: {value} против {dense}, {size}."
    ),
    "trade_offs.smallest_measured": (
        "Для этой модели прогноза нет (его строит команда «python -m compression predict»). Из измеренного самая "
        "маленькая модель в пределах +{allowance} — {run}: перплексия {value} против {dense}, {size}."
    ),
    "trade_offs.smallest_none_measured": (
        "Для этой модели прогноза нет (его строит команда «python -m compression predict»), и ни один измеренный "
        "запуск не укладывается в +{allowance}: разрешите больше или измерьте что-нибудь на вкладке «{compare}»."
    ),
    "trade_offs.smallest_none_measured@speech": (
        "Для доли ошибочных слов прогноза нет, и ни один измеренный запуск не укладывается в +{allowance}: разрешите "
        "больше или измерьте что-нибудь на вкладке «{compare}»."
    ),
    "trade_offs.smallest_verify": "Проверить одним измерением",
    "trade_offs.smallest_first": "Сначала нажмите «{button}»: проверять пока нечего.",
    "trade_offs.smallest_verdict": (
        "Прогноз {predicted} (полоса 95\u202f%: от {low} до {high}), измерено {measured} на {text}: расхождение "
        "{off}, {inside} полосы. Перплексия {value} против {dense}, {size}."
    ),
    "trade_offs.inside": "внутри",
    "trade_offs.outside": "вне",
    "trade_offs.smallest_kept": "Модель укладывается в +{allowance}.",
    "trade_offs.smallest_missed": "Модель не укладывается в +{allowance}: удаляйте меньше.",
    "trade_offs.smallest_table": "Все варианты, самый маленький — первый",
    "trade_offs.candidate.removed": "Можно удалить",
    "trade_offs.candidate.change": "Прогноз изменения",
    "trade_offs.candidate.low": "Полоса, снизу",
    "trade_offs.candidate.high": "Полоса, сверху",
    "trade_offs.candidate.sure": "Наверняка (95\u202f%)",
    "trade_offs.candidate.remark": "Примечание",
    "trade_offs.run_title": "Один запуск",
    "trade_offs.run": "Запуск (или нажмите на точку)",
    "trade_offs.run_none": "Выбирать пока нечего.",
    "trade_offs.gone": "Этого запуска больше нет: выберите другой из списка.",
    "trade_offs.fact.quality": "Перплексия",
    "trade_offs.fact.quality@speech": "Доля ошибочных слов",
    "trade_offs.fact.size": "Размер",
    "trade_offs.fact.times": "Время",
    "trade_offs.fact.times_value": (
        "обработка промпта {prefill}\u00a0мс, генерация {decode}\u00a0мс на токен ({convention})"
    ),
    "trade_offs.fact.times_value@speech": (
        "кодировщик {prefill}\u00a0мс, генерация {decode}\u00a0мс на токен ({convention})"
    ),
    "trade_offs.fact.no_times": "ещё не измерено",
    "trade_offs.fact.from": "Из чего получен",
    "trade_offs.fact.from_dense": "модель без сжатия",
    "trade_offs.fact.settings": "Настройки, отличные от обычных",
    "trade_offs.fact.no_settings": "нет",
    "trade_offs.fact.unknown_settings": "неизвестны: запуск сделан не здесь",
    "trade_offs.fact.made": "Когда",
    "trade_offs.fact.origin": "Откуда",
    "trade_offs.fact.example": "поставляется с приложением",
    "trade_offs.fact.own": "ваш, хранится в этом браузере: измерен здесь, загружен или переименован",
    "trade_offs.fact.published": "опубликовано: {source}",
    "trade_offs.fact.measured_on": "На чём измерено",
    "trade_offs.name": "Имя запуска",
    "trade_offs.rename": "Переименовать",
    "trade_offs.renamed": "Теперь запуск называется {name}.",
    "trade_offs.unnamed": "У запуска снова его обычное имя.",
    "trade_offs.remove": "Удалить",
    "trade_offs.removed": "Запуск удалён.",
    "trade_offs.not_removed": "Этот запуск поставляется с приложением; удалить можно только свои.",
    "trade_offs.repeat_title": "Повторить с одним изменением",
    "trade_offs.what": "Что меняется",
    "trade_offs.what.removed_fraction": "доля удаляемых весов",
    "trade_offs.what.method": "метод",
    "trade_offs.what.policy": "политика",
    "trade_offs.what.seed": "зерно калибровки",
    "trade_offs.value": "Новое значение",
    "trade_offs.repeat": "Повторить",
    "trade_offs.repeat_dense": (
        "У модели без сжатия можно изменить только метод: он удалит {removed} весов по своей политике."
    ),
    "trade_offs.repeat_no_recipe": (
        "Этот запуск нельзя повторить: неизвестно, как он сделан. Выберите запуск, измеренный здесь."
    ),
    "trade_offs.repeat_same": "Выберите другое значение: с этим ничего не изменится.",
    "trade_offs.repeat_no_value": "Выберите, что меняется, и новое значение.",
    "trade_offs.repeated": "{run}: перплексия {value}. Запуск уже на графике.",
    "trade_offs.repeated@speech": "{run}: доля ошибочных слов {value}. Запуск уже на графике.",
    "trade_offs.repeated_elsewhere": (
        "Текста выбранного запуска здесь больше нет, поэтому измерено на {text}: сравнивать эти два запуска нельзя; "
        "новый — в списке «{label}»."
    ),
    "trade_offs.latency": "Измерить его задержку",
    "trade_offs.latency_done": "Измерено: обработка промпта {prefill}\u00a0мс, генерация {decode}\u00a0мс на токен.",
    "trade_offs.latency_done@speech": "Измерено: кодировщик {prefill}\u00a0мс, генерация {decode}\u00a0мс на токен.",
    "trade_offs.other": "Сравнить с",
    "trade_offs.other_info": "Любой другой запуск, в том числе измеренный иначе.",
    "trade_offs.compared": "Переход {before} → {after}: {changes}.",
    "trade_offs.compared_no_quality": (
        "Эти два запуска измерены не на одном тексте или не одним способом, поэтому их качество несравнимо."
    ),
    "trade_offs.compared_no_time": "Их время не измерено одинаковым образом.",
    "trade_offs.delta_size": "размер {value}",
    "trade_offs.delta_quality": "перплексия {value}",
    "trade_offs.delta_quality@speech": "доля ошибочных слов {value}",
    "trade_offs.delta_decode": "генерация {value}",
    "trade_offs.delta_prefill": "обработка промпта {value}",
    "trade_offs.delta_prefill@speech": "кодировщик {value}",
    "trade_offs.setting.method": "метод",
    "trade_offs.setting.policy": "политика",
    "trade_offs.setting.removed_fraction": "доля удаляемых весов",
    "trade_offs.setting.calibration_text": "текст калибровки",
    "trade_offs.setting.num_sequences": "последовательностей калибровки",
    "trade_offs.setting.sequence_length": "токенов в последовательности",
    "trade_offs.setting.gradient_sequences": "последовательностей для градиентов",
    "trade_offs.setting.seed": "зерно калибровки",
    "trade_offs.setting.iterations": "итераций",
    "trade_offs.setting.atoms_per_nonzero": "атомов на ненулевой",
    "trade_offs.setting.damping": "демпфирование",
    "trade_offs.setting.recalibrate": "повторная калибровка за сжатыми блоками",
    "trade_offs.setting.guards": "границы для слоя",
    "trade_offs.setting.pins": "закреплённые слои",
    "trade_offs.setting.settings": "настройки метода",
    "trade_offs.setting.preset": "набор настроек",
    "trade_offs.setting.language": "язык",
    "trade_offs.setting.count_padding": "тишина учитывается",
    "trade_offs.map_title": "Карта запусков: какой из какого получен",
    "trade_offs.map_all": "все запуски",
    "trade_offs.map_quality": "перплексия {value}",
    "trade_offs.map_quality@speech": "ошибочных слов {value}",
    "trade_offs.map_summary": (
        "Запусков: {count}; каждый стоит под тем, из которого получен, до модели без сжатия шагов не более {depth}; "
        "изменения — относительно этого запуска."
    ),
    "trade_offs.map_hidden": (
        "Скрыты поставляемые с приложением запуски не на границе: {count}. Их показывает флажок «{label}»."
    ),
}
