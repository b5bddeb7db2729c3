"""The words of the tab “Adapt”, in both languages."""

from __future__ import annotations

ENGLISH: dict[str, str] = {
    "adapt.tab": "Adapt",
    "adapt.title": "Adapt a model to a task, and remove what it does not need",
    "adapt.task": "Task",
    "adapt.task.mrpc": "MRPC (paraphrases)",
    "adapt.task.sst2": "SST-2 (sentiment)",
    "adapt.task.era": "Era of a speech",
    "adapt.task.lm": "Language model",
    "adapt.about.mrpc": "MRPC, of GLUE: do two sentences from the news say the same? Accuracy and F1.",
    "adapt.about.sst2": "SST-2, of GLUE: does a sentence from a film review praise or blame? Accuracy and F1.",
    "adapt.about.era": (
        "Era: when was a sentence of a State of the Union address said? Its data comes with the app and needs no "
        "network."
    ),
    "adapt.about.lm": "Language model: no task; the gates train on text, and perplexity is measured on other text.",
    "adapt.method": "Method",
    "adapt.target": "Target sparsity",
    "adapt.target_info": "What the method aims at. What really leaves is counted apart.",
    "adapt.minutes": "Training time (min)",
    "adapt.seed": "Seed",
    "adapt.train": "Train",
    "adapt.stop": "Stop and keep",
    "adapt.stop_hint": (
        "“{stop}” ends training after the running step, then measures and shows what was learned until then. Cancel "
        "drops the run; its pictures stay."
    ),
    "adapt.stopping": "Training ends after the running step; then the model is measured.",
    "adapt.finished": "Trained and measured.",
    "adapt.needs_text": (
        "The model on this page writes down speech: choose a language model on the Explore tab, or another task here."
    ),
    "adapt.no_run": "{method} on {task} has no run that came with the app: press “{button}” to make one.",
    "adapt.no_report": "No runs of {task} came with the app for this model: only your own are shown.",
    "adapt.export_title": "Take the model away",
    "adapt.export_hint": (
        "The folder of the model you trained, as it would be deployed: smaller where something was removed."
    ),
    "adapt.download": "Download (zip)",
    "adapt.caption": "**Shown:** {method} on {task}; model {model}, seed {seed}, {steps} steps in {seconds}.",
    "adapt.caption_mine": "**Your run:** {method} on {task}; model {model}, seed {seed}, {steps} steps in {seconds}.",
    "adapt.caption_live": "**Your training:** {method} on {task}, seed {seed}.",
    "adapt.caption_data": "Trained on: {train}. Measured on: {evaluation}.",
    "adapt.provenance": "Made on {date} at commit {commit}: {processor}, threads: {threads}.",
    "adapt.gates_rows": "Gates of the rows (outputs)",
    "adapt.gates_columns": "Gates of the columns (inputs)",
    "adapt.gates_scale": "mean gate: 0 closed, 1 open",
    "adapt.gates_hover_rows": (
        "block {block}, {projection}<br>mean gate {mean}<br>{open} of the rows open<br>{removed} of the weights removed"
    ),
    "adapt.gates_hover_columns": (
        "block {block}, {projection}<br>mean gate {mean}<br>{open} of the columns open<br>"
        "{removed} of the weights removed"
    ),
    "adapt.gates_hover_none": "block {block}, {projection}: no gates here",
    "adapt.gates_none": "This method has no gates on this side.",
    "adapt.gates_all_open_rows": "Every row is still open; the smallest mean gate of a layer is {mean}.",
    "adapt.gates_all_open_columns": "Every column is still open; the smallest mean gate of a layer is {mean}.",
    "adapt.gates_summary_rows": "Closed rows in {count} of {total} layers; {layer} keeps the fewest open: {open}.",
    "adapt.gates_summary_columns": (
        "Closed columns in {count} of {total} layers; {layer} keeps the fewest open: {open}."
    ),
    "adapt.removed_title": "What leaves each layer",
    "adapt.removed_scale": "weights removed (share)",
    "adapt.removed_hover": "block {block}, {projection}<br>{removed} of the weights removed",
    "adapt.removed_summary": (
        "{none} Weights leave {count} of {total} layers; {layer} loses the largest share: {removed}."
    ),
    "adapt.removed_nothing": "{none} Nothing leaves any layer so far.",
    "adapt.gates_hint": "A method with gates shows here how open they are, layer by layer.",
    "adapt.layer_title": "One layer's gates",
    "adapt.layer": "Layer",
    "adapt.layer_rows": "rows",
    "adapt.layer_columns": "columns",
    "adapt.layer_x": "place in the layer (share)",
    "adapt.layer_y": "gate (0 closed, 1 open)",
    "adapt.layer_summary": (
        "Rows and columns stand in up to 64 groups. "
        "In {layer}, {rows} of the rows and {columns} of the columns are open; {removed} of its weights really leave."
    ),
    "adapt.curves_title": "Training",
    "adapt.curves_hint": "The losses, what is removed and what is measured appear here.",
    "adapt.curve_loss": "task loss",
    "adapt.curve_sparsity_loss": "sparsity loss, λ included",
    "adapt.curve_removed": "really removed",
    "adapt.curve_soft": "soft sparsity",
    "adapt.curve_target": "target",
    "adapt.curve_majority": "always the most frequent class",
    "adapt.measured_accuracy": "accuracy",
    "adapt.measured_f1": "F1",
    "adapt.measured_perplexity": "perplexity",
    "adapt.curves_y_loss": "loss (nats)",
    "adapt.curves_y_sparsity": "sparsity (nats)",
    "adapt.curves_y_removed": "removed (share)",
    "adapt.curves_y_accuracy": "accuracy (share)",
    "adapt.curves_y_perplexity": "perplexity (per token)",
    "adapt.curves_x": "training step (count)",
    "adapt.curves_summary": "After step {step} the task's loss on a batch is {loss} nats.",
    "adapt.three_figures": "Target {target}; soft sparsity {soft}; **really removed {removed}**.",
    "adapt.none": "none",
    "adapt.score_perplexity": "Last measured perplexity: **{value}** ({count} tokens).",
    "adapt.score_accuracy": "Last measured accuracy: **{accuracy}**, F1 {f1} ({count} examples).",
    "adapt.descent_title": "Loss gap and gradient (Polyak–Łojasiewicz)",
    "adapt.descent_hint": "After a few steps, each is a point here.",
    "adapt.descent_scale": "training step",
    "adapt.descent_bound": "gap = gradient² ÷ (2μ), μ = {mu}",
    "adapt.descent_hover": "step %{customdata}: gradient² %{x:.3g}, gap %{y:.3g}<extra></extra>",
    "adapt.descent_x": "squared gradient norm (nats²)",
    "adapt.descent_y": "loss − smallest seen (nats)",
    "adapt.descent_summary": (
        "All {count} points lie below the line of μ = {mu}, which step {step} touches: a larger μ contradicts this "
        "trace. The Polyak–Łojasiewicz condition wants gap ≤ gradient² ÷ (2μ) everywhere, with one μ. A noisy trace "
        "of one run can contradict it, but never prove it: losses and gradients are those of batches, and the gap "
        "counts from the smallest loss seen ({least} nats), not from the true minimum."
    ),
    "adapt.mine": "{method} (yours)",
    "adapt.own_runs": "your runs",
    "adapt.points_title": "Quality against parameters removed",
    "adapt.points_hint": "Every run is a point here.",
    "adapt.points_x": "really removed (share)",
    "adapt.points_hover": "<b>{method}</b><br>{quality}<br>{removed} really removed<br>seeds: {seeds}",
    "adapt.points_summary": "The highest mean accuracy is that of {method}: **{quality}**.",
    "adapt.points_summary_text": "The lowest mean perplexity is that of {method}: **{quality}**.",
    "adapt.points_none_removed": "None of the runs removes anything.",
    "adapt.points_most": "Most is removed by {method}: {removed}, and it reaches **{quality}**.",
    "adapt.latency_title": "Latency of what would be deployed",
    "adapt.latency_hint": "After a run, the deployed model is timed beside the dense one.",
    "adapt.latency_x": "one forward pass (ms, median)",
    "adapt.latency_faster": "Batch {batch}: {dense} ms dense, **{adapted} ms** deployed, {ratio} of the time.",
    "adapt.latency_not_faster": (
        "Batch {batch}: {dense} ms dense, **{adapted} ms** deployed, {ratio} of the time: **not faster**."
    ),
    "adapt.latency_how": "Tokens an example: {tokens}; threads: {threads}; both models take turns.",
    "adapt.deployed": "deployed",
    "adapt.batch": "batch {batch}",
    "adapt.table_title": "All methods",
    "adapt.table_hint": (
        "Means over seeds. Target is what was asked for, soft is what the regulariser sees, really removed is "
        "counted on the tensors that stay. Head and pooler are left out of the trained parameters for every method."
    ),
    "adapt.column.method": "Method",
    "adapt.column.seeds": "Seeds (count)",
    "adapt.column.trainable": "Trained parameters",
    "adapt.column.accuracy": "Accuracy",
    "adapt.column.perplexity": "Perplexity",
    "adapt.column.deviation": "± standard deviation",
    "adapt.column.f1": "F1",
    "adapt.column.target": "Target sparsity",
    "adapt.column.soft": "Soft sparsity",
    "adapt.column.removed": "Really removed",
    "adapt.column.latency": "Latency ÷ dense",
    "adapt.column.train_seconds": "Training (s)",
    "adapt.column.memory": "Peak memory (MB)",
    "adapt.column.minutes": "Allowed (min)",
    "adapt.column.mean_gate": "Mean gate",
    "adapt.column.open_rows": "Rows open",
    "adapt.column.open_columns": "Columns open",
    "adapt.column.layer_removed": "Weights removed",
    "adapt.column.side": "Side",
    "adapt.column.group": "Group",
    "adapt.column.gate": "Gate",
    "adapt.column.step": "Step",
    "adapt.column.seconds": "Time (s)",
    "adapt.column.loss": "Task loss (nats)",
    "adapt.column.sparsity_loss": "Sparsity loss (nats)",
    "adapt.column.gradient": "Squared gradient norm",
    "adapt.column.gap": "Loss gap (nats)",
    "adapt.column.batch": "Batch",
    "adapt.column.tokens": "Tokens an example",
    "adapt.column.dense_ms": "Dense (ms)",
    "adapt.column.adapted_ms": "Deployed (ms)",
    "adapt.scratch_title": "From scratch, with gates and without",
    "adapt.scratch_descent_title": "Loss gap and gradient, from scratch with gates",
    "adapt.scratch_plain": "without gates",
    "adapt.scratch_gated": "with gates",
    "adapt.scratch_y": "loss (nats a token)",
    "adapt.scratch_summary": (
        "A small Llama is trained twice from the same start on the same batches of addresses. With gates pressed from "
        "step {start} and closed for good at step {settle}, **{removed}** of the gated weights really leave, and "
        "perplexity on later addresses is **{gated}** instead of {plain} ({change}). Run on {date}, commit {commit}; "
        "`bench from-scratch` makes it again. The curves are means over neighbouring batches."
    ),
    "adapt.column.run": "Run",
    "adapt.column.parameters": "Parameters that stay",
    "adapt.mask_title": "Which rows and columns the gates remove",
    "adapt.mask_x": "input (block of columns)",
    "adapt.mask_y": "output (block of rows)",
    "adapt.mask_scale": "share of the weights that stay",
    "adapt.mask_hover": "rows %{y}, columns %{x}: %{z:.0%} stay<extra></extra>",
    "adapt.mask_summary": (
        "{method} keeps {rows} of the {outputs} rows and {columns} of the {inputs} columns of {site}: {removed} of its "
        "weights leave, and no mask is stored. Over the whole model {whole} really left, at a target of {target}. A "
        "run of its own, made on {date} at commit {commit}; it does not follow this page's ratio."
    ),
    "adapt.mask_gone": "rows or columns removed here",
    "adapt.column.block": "Block of indices",
    "adapt.column.kept": "Kept",
    "adapt.mask_none": "No run of FineGates came with the app for this layer of this model.",
}

RUSSIAN: dict[str, str] = {
    "adapt.tab": "Адаптация",
    "adapt.title": "Настроить модель на задачу и убрать то, что ей не нужно",
    "adapt.task": "Задача",
    "adapt.task.mrpc": "MRPC (парафразы)",
    "adapt.task.sst2": "SST-2 (тональность)",
    "adapt.task.era": "Эпоха речи",
    "adapt.task.lm": "Языковая модель",
    "adapt.about.mrpc": (
        "MRPC из набора GLUE: говорят ли два предложения из новостей одно и то же? Измеряются точность и F1."
    ),
    "adapt.about.sst2": (
        "SST-2 из набора GLUE: хвалит ли предложение из рецензии фильм или ругает? Измеряются точность и F1."
    ),
    "adapt.about.era": (
        "Эпоха: когда прозвучало предложение из послания президента США конгрессу? Данные поставляются с приложением, "
        "сеть не нужна."
    ),
    "adapt.about.lm": (
        "Языковая модель: отдельной задачи нет; вентили учатся на тексте, а перплексия измеряется на другом тексте."
    ),
    "adapt.method": "Метод",
    "adapt.target": "Целевая разреженность",
    "adapt.target_info": "К чему стремится метод. Сколько удалено на самом деле, считается отдельно.",
    "adapt.minutes": "Время обучения (мин)",
    "adapt.seed": "Зерно (seed)",
    "adapt.train": "Обучить",
    "adapt.stop": "Остановить и сохранить",
    "adapt.stop_hint": (
        "«{stop}» завершает обучение после текущего шага; то, что уже выучено, измеряется и показывается. Отмена "
        "отбрасывает запуск, но его графики остаются."
    ),
    "adapt.stopping": "Обучение закончится после текущего шага, затем модель будет измерена.",
    "adapt.finished": "Модель обучена и измерена.",
    "adapt.needs_text": (
        "Модель этой страницы записывает речь: выберите языковую модель на вкладке «Обзор» или другую задачу здесь."
    ),
    "adapt.no_run": "Готового запуска нет: {method}, {task}. Чтобы его сделать, нажмите «{button}».",
    "adapt.no_report": "Готовых запусков для этой модели нет ({task}): показаны только ваши.",
    "adapt.export_title": "Забрать модель",
    "adapt.export_hint": (
        "Папка обученной вами модели в том виде, в каком её можно развернуть: удалённое в ней уже не хранится."
    ),
    "adapt.download": "Скачать (zip)",
    "adapt.caption": (
        "**Показан запуск:** {method}, {task}; модель {model}, зерно {seed}, шагов: {steps}, время: {seconds}."
    ),
    "adapt.caption_mine": (
        "**Ваш запуск:** {method}, {task}; модель {model}, зерно {seed}, шагов: {steps}, время: {seconds}."
    ),
    "adapt.caption_live": "**Ваше обучение:** {method}, {task}, зерно {seed}.",
    "adapt.caption_data": "Обучение: {train}. Измерение: {evaluation}.",
    "adapt.provenance": "Сделано {date}, коммит {commit}: {processor}, потоков: {threads}.",
    "adapt.gates_rows": "Вентили строк (выходов)",
    "adapt.gates_columns": "Вентили столбцов (входов)",
    "adapt.gates_scale": "вентиль: 0 закрыт, 1 открыт",
    "adapt.gates_hover_rows": (
        "блок {block}, {projection}<br>средний вентиль {mean}<br>открыто строк: {open}<br>удалено весов: {removed}"
    ),
    "adapt.gates_hover_columns": (
        "блок {block}, {projection}<br>средний вентиль {mean}<br>открыто столбцов: {open}<br>удалено весов: {removed}"
    ),
    "adapt.gates_hover_none": "блок {block}, {projection}: вентилей здесь нет",
    "adapt.gates_none": "На этой стороне у метода нет вентилей.",
    "adapt.gates_all_open_rows": "Все строки пока открыты; наименьший средний вентиль слоя равен {mean}.",
    "adapt.gates_all_open_columns": "Все столбцы пока открыты; наименьший средний вентиль слоя равен {mean}.",
    "adapt.gates_summary_rows": (
        "Слоёв с закрытыми строками: {count} из {total}; меньше всего открыто в слое {layer}: {open}."
    ),
    "adapt.gates_summary_columns": (
        "Слоёв с закрытыми столбцами: {count} из {total}; меньше всего открыто в слое {layer}: {open}."
    ),
    "adapt.removed_title": "Что удаляется из каждого слоя",
    "adapt.removed_scale": "удалено весов (доля)",
    "adapt.removed_hover": "блок {block}, {projection}<br>удалено весов: {removed}",
    "adapt.removed_summary": (
        "{none} Слоёв, из которых удаляются веса: {count} из {total}; больше всего теряет слой {layer}: {removed}."
    ),
    "adapt.removed_nothing": "{none} Пока ни из одного слоя ничего не удаляется.",
    "adapt.gates_hint": "У метода с вентилями здесь видно, насколько они открыты, слой за слоем.",
    "adapt.layer_title": "Вентили одного слоя",
    "adapt.layer": "Слой",
    "adapt.layer_rows": "строки",
    "adapt.layer_columns": "столбцы",
    "adapt.layer_x": "место в слое (доля)",
    "adapt.layer_y": "вентиль (0 закрыт, 1 открыт)",
    "adapt.layer_summary": (
        "Строки и столбцы объединены в группы, не больше 64. "
        "В слое {layer} открыто строк: {rows}, столбцов: {columns}; на самом деле удаляется весов: {removed}."
    ),
    "adapt.curves_title": "Обучение",
    "adapt.curves_hint": "Здесь появятся потери, доля удалённого и измерения.",
    "adapt.curve_loss": "потери задачи",
    "adapt.curve_sparsity_loss": "потери разреженности, с множителем λ",
    "adapt.curve_removed": "удалено на самом деле",
    "adapt.curve_soft": "мягкая разреженность",
    "adapt.curve_target": "цель",
    "adapt.curve_majority": "всегда самый частый класс",
    "adapt.measured_accuracy": "точность",
    "adapt.measured_f1": "F1-мера",
    "adapt.measured_perplexity": "перплексия",
    "adapt.curves_y_loss": "потери (нат)",
    "adapt.curves_y_sparsity": "разреж. (нат)",
    "adapt.curves_y_removed": "удалено (доля)",
    "adapt.curves_y_accuracy": "точность (доля)",
    "adapt.curves_y_perplexity": "перплексия (на токен)",
    "adapt.curves_x": "шаг обучения (номер)",
    "adapt.curves_summary": "После шага {step} потери задачи на пакете равны {loss} нат.",
    "adapt.three_figures": "Цель {target}; мягкая разреженность {soft}; **удалено на самом деле {removed}**.",
    "adapt.none": "нет",
    "adapt.score_perplexity": "Последняя измеренная перплексия: **{value}** (токенов: {count}).",
    "adapt.score_accuracy": "Последняя измеренная точность: **{accuracy}**, F1 {f1} (примеров: {count}).",
    "adapt.descent_title": "Разрыв потерь и градиент (Поляк — Лоясевич)",
    "adapt.descent_hint": "Через несколько шагов каждый станет здесь точкой.",
    "adapt.descent_scale": "шаг обучения",
    "adapt.descent_bound": "разрыв = градиент² ÷ (2μ), μ = {mu}",
    "adapt.descent_hover": "шаг %{customdata}: градиент² %{x:.3g}, разрыв %{y:.3g}<extra></extra>",
    "adapt.descent_x": "квадрат нормы градиента (нат²)",
    "adapt.descent_y": "потери − наименьшие (нат)",
    "adapt.descent_summary": (
        "Все точки ({count}) лежат не выше прямой с μ = {mu}, которой касается шаг {step}: большее μ этой траектории "
        "противоречит. Условие Поляка — Лоясевича требует, чтобы всюду при одном и том же μ разрыв был не больше "
        "градиент² ÷ (2μ). Зашумлённая траектория одного запуска может ему противоречить, но никогда его не докажет: "
        "потери и градиенты взяты по пакетам, а разрыв отсчитан от наименьших встреченных потерь ({least} нат), а не "
        "от настоящего минимума."
    ),
    "adapt.mine": "{method} (ваш запуск)",
    "adapt.own_runs": "ваши запуски",
    "adapt.points_title": "Качество и доля удалённых параметров",
    "adapt.points_hint": "Каждый запуск становится здесь точкой.",
    "adapt.points_x": "удалено на самом деле (доля)",
    "adapt.points_hover": "<b>{method}</b><br>{quality}<br>удалено на самом деле: {removed}<br>запусков: {seeds}",
    "adapt.points_summary": "Самая высокая средняя точность у метода {method}: **{quality}**.",
    "adapt.points_summary_text": "Самая низкая средняя перплексия у метода {method}: **{quality}**.",
    "adapt.points_none_removed": "Ни один из запусков ничего не удаляет.",
    "adapt.points_most": "Больше всего удаляет {method}: {removed}, при этом достигнуто **{quality}**.",
    "adapt.latency_title": "Задержка модели в готовом виде",
    "adapt.latency_hint": "После запуска готовая модель измеряется по времени рядом с исходной.",
    "adapt.latency_x": "один прямой проход (мс, медиана)",
    "adapt.latency_faster": (
        "Пакет {batch}: исходная {dense}\u00a0мс, готовая **{adapted}\u00a0мс**, отношение {ratio}."
    ),
    "adapt.latency_not_faster": (
        "Пакет {batch}: исходная {dense}\u00a0мс, готовая **{adapted}\u00a0мс**, отношение {ratio}: **не быстрее**."
    ),
    "adapt.latency_how": "Токенов в примере: {tokens}; потоков: {threads}; модели измеряются по очереди.",
    "adapt.deployed": "готовая",
    "adapt.batch": "пакет {batch}",
    "adapt.table_title": "Все методы",
    "adapt.table_hint": (
        "Средние по запускам. Цель — то, что просили; мягкая разреженность — то, что видит регуляризатор; удалённое на "
        "самом деле сосчитано по оставшимся тензорам. Голова и пулер у всех методов не входят в число обучаемых "
        "параметров."
    ),
    "adapt.column.method": "Метод",
    "adapt.column.seeds": "Запуски (шт.)",
    "adapt.column.trainable": "Обучаемые параметры",
    "adapt.column.accuracy": "Точность",
    "adapt.column.perplexity": "Перплексия",
    "adapt.column.deviation": "± стандартное отклонение",
    "adapt.column.f1": "F1-мера",
    "adapt.column.target": "Целевая разреженность",
    "adapt.column.soft": "Мягкая разреженность",
    "adapt.column.removed": "Удалено на самом деле",
    "adapt.column.latency": "Задержка ÷ исходная",
    "adapt.column.train_seconds": "Обучение (с)",
    "adapt.column.memory": "Пик памяти (МБ)",
    "adapt.column.minutes": "Отведено (мин)",
    "adapt.column.mean_gate": "Средний вентиль",
    "adapt.column.open_rows": "Открыто строк",
    "adapt.column.open_columns": "Открыто столбцов",
    "adapt.column.layer_removed": "Удалено весов",
    "adapt.column.side": "Сторона",
    "adapt.column.group": "Группа",
    "adapt.column.gate": "Вентиль",
    "adapt.column.step": "Шаг",
    "adapt.column.seconds": "Время (с)",
    "adapt.column.loss": "Потери задачи (нат)",
    "adapt.column.sparsity_loss": "Потери разреженности (нат)",
    "adapt.column.gradient": "Квадрат нормы градиента",
    "adapt.column.gap": "Разрыв потерь (нат)",
    "adapt.column.batch": "Пакет",
    "adapt.column.tokens": "Токенов в примере",
    "adapt.column.dense_ms": "Исходная (мс)",
    "adapt.column.adapted_ms": "Готовая (мс)",
    "adapt.scratch_title": "С нуля: с вентилями и без них",
    "adapt.scratch_descent_title": "Разрыв потерь и градиент: с нуля, с вентилями",
    "adapt.scratch_plain": "без вентилей",
    "adapt.scratch_gated": "с вентилями",
    "adapt.scratch_y": "потери (нат на токен)",
    "adapt.scratch_summary": (
        "Маленькая Llama дважды обучается с одного начала на одних и тех же пакетах посланий. Вентили прижимаются с "
        "шага {start} и закрываются навсегда на шаге {settle}: на самом деле удаляется **{removed}** весов с "
        "вентилями, а перплексия на более поздних посланиях — **{gated}** вместо {plain} ({change}). Запуск от {date}, "
        "коммит {commit}; его повторяет `bench from-scratch`. Кривые — средние по соседним пакетам."
    ),
    "adapt.column.run": "Запуск",
    "adapt.column.parameters": "Осталось параметров",
    "adapt.mask_title": "Какие строки и столбцы удаляют вентили",
    "adapt.mask_x": "вход (группа столбцов)",
    "adapt.mask_y": "выход (группа строк)",
    "adapt.mask_scale": "доля весов, которые остаются",
    "adapt.mask_hover": "строки %{y}, столбцы %{x}: остаётся %{z:.0%}<extra></extra>",
    "adapt.mask_summary": (
        "{method} оставляет в слое {site} строк: {rows} из {outputs}, столбцов: {columns} из {inputs}; удаляется "
        "весов: {removed}, и маску хранить не нужно. Во всей модели на самом деле удалено {whole} при цели {target}. "
        "Это отдельный запуск от {date}, коммит {commit}; за степенью сжатия на этой странице он не следует."
    ),
    "adapt.mask_gone": "здесь удалены строки или столбцы",
    "adapt.column.block": "Группа индексов",
    "adapt.column.kept": "Осталось",
    "adapt.mask_none": "Для этого слоя этой модели готового запуска FineGates нет.",
}
