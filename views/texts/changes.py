"""The words of the tab “What changed”, in both languages."""

from __future__ import annotations

ENGLISH: dict[str, str] = {
    "changes.tab": "What changed",
    "changes.title": "Which predictions changed",
    "changes.text": "Your text",
    "changes.text_info": (
        "Both models read it and predict every token from those before it; at most {tokens} tokens are read. The "
        "sample is from Darwin, On the Origin of Species (1859)."
    ),
    "changes.start": "Find what changed",
    "changes.hint": (
        "Press “{button}”: the dense and the compressed model read the same text, and what differs is marked here, "
        "token by token."
    ),
    "changes.hint@speech": (
        "Press “{button}”: the dense and the compressed model hear the same recording with the same words, and what "
        "differs is marked here, word by word."
    ),
    "changes.reference_info": (
        "Without it, the words that the dense model writes down count. For more than 30 seconds leave it empty: such a "
        "recording is cut."
    ),
    "changes.finished": "Finished: both models were compared.",
    "changes.summary": (
        "**{flipped} of {predicted} predicted tokens flipped ({share})**: there the compressed model holds another "
        "token most probable. The mean loss goes from {dense} to {compressed} nats a token, the perplexity from "
        "{dense_perplexity} to {compressed_perplexity}."
    ),
    "changes.summary@speech": (
        "**{flipped} of {predicted} words flipped ({share})**, the end counted as one: there the compressed model "
        "would write something else, given the recording and the words before. The mean loss goes from {dense} to "
        "{compressed} nats a token, the perplexity of the transcript from {dense_perplexity} to "
        "{compressed_perplexity}."
    ),
    "changes.summary_none": (
        "**No prediction flipped**: of {predicted} predicted tokens both models hold the same ones most probable. "
        "The mean loss goes from {dense} to {compressed} nats a token, the perplexity from {dense_perplexity} to "
        "{compressed_perplexity}."
    ),
    "changes.summary_none@speech": (
        "**No prediction flipped**: both models would write the same in the place of all {predicted} words, the end "
        "counted as one. The mean loss goes from {dense} to {compressed} nats a token, the perplexity of the "
        "transcript from {dense_perplexity} to {compressed_perplexity}."
    ),
    "changes.summary_same": (
        "**Nothing changed**: both models are equal here, in every prediction and every loss ({predicted} tokens, "
        "{removed} removed)."
    ),
    "changes.summary_same@speech": (
        "**Nothing changed**: both models are equal here, in every prediction and every loss ({predicted} words, "
        "{removed} removed)."
    ),
    "changes.most": "The loss rises most at “{text}”, by {rise} nats.",
    "changes.none_rises": "The loss rises nowhere.",
    "changes.cut": "The text has {total} tokens; the first {used} were read.",
    "changes.shown_given": "The words are those that you gave.",
    "changes.shown_dense": "The words are those that the dense model writes down.",
    "changes.words": "The text, with what changed",
    "changes.words@speech": "The words, with what changed",
    "changes.empty": "The marked text appears here.",
    "changes.mark": "loss {dense} → {compressed} nats ({rise}); dense says “{said}”, compressed says “{says}”",
    "changes.mark_flipped": "flipped: {mark}",
    "changes.legend_sample": "text",
    "changes.legend_rise": "loss rose by more than {least} nats",
    "changes.legend_flipped": "prediction flipped",
    "changes.legend_given": "given, not predicted",
    "changes.legend_note": "Hover over a mark for the figures; the table below has them for all.",
    "changes.end": "(end)",
    "changes.table": "Tokens that changed most",
    "changes.table@speech": "Words that changed most",
    "changes.sort": "Order",
    "changes.sort_rise": "largest rise first",
    "changes.sort_place": "as in the text",
    "changes.sort_flipped": "flipped first",
    "changes.filter": "Show",
    "changes.filter_all": "all",
    "changes.filter_flipped": "flipped only",
    "changes.filter_rise": "loss rose by more than …",
    "changes.least": "More than (nats)",
    "changes.search": "Find a word",
    "changes.count": "{shown} of {found} shown; {all} in all.",
    "changes.count_nothing": "Nothing fits: choose a wider filter, or another word.",
    "changes.more": "Show more",
    "changes.legend_signs": "␣ is a space, ↵ a line break. Loss: negative log-likelihood, in nats.",
    "changes.column.place": "Place",
    "changes.column.left": "Before",
    "changes.column.text": "Token",
    "changes.column.text@speech": "Word",
    "changes.column.right": "After",
    "changes.column.context": "In its context",
    "changes.column.dense_says": "Dense says",
    "changes.column.compressed_says": "Compressed says",
    "changes.column.dense_loss": "Loss, dense (nats)",
    "changes.column.compressed_loss": "Loss, compressed (nats)",
    "changes.column.rise": "Rise (nats)",
    "changes.column.flipped": "Flipped",
    "changes.yes": "yes",
    "changes.no": "no",
    "changes.drift_title": "Where in depth it starts",
    "changes.drift_hint": "The error of the hidden state behind every block appears here, as the windows come in.",
    "changes.drift_x": "block (E: embeddings, N: final norm)",
    "changes.drift_y": "relative error (share of the norm)",
    "changes.drift_median": "median over positions",
    "changes.drift_pooled": "pooled over positions",
    "changes.stage_embeddings": "embeddings",
    "changes.stage_block": "block {block}",
    "changes.stage_norm": "after the final norm",
    "changes.stack_encoder": "encoder",
    "changes.stack_decoder": "decoder",
    "changes.drift_none": "The hidden states of both models are equal in every block.",
    "changes.drift_starts": (
        "The damage starts in block {start}, the first whose median error ({start_error}) is at least {share} of the "
        "largest ({peak_error}, behind block {peak})."
    ),
    "changes.drift_heals": "It heals in part: behind the last block it is {last_error}, {healed} less.",
    "changes.drift_stays": "It hardly heals: behind the last block, {last}, it is still {last_error}.",
    "changes.drift_grows": "It does not heal: it is largest behind the last block.",
    "changes.drift_note": (
        "The median is that of a typical position; the pooled error goes by the sum over all {positions} positions, "
        "in which a few with huge norms may count for nearly all."
    ),
    "changes.drift_note@speech": (
        "The median is that of a typical position; the pooled error goes by the sum over all positions, in which a "
        "few with huge norms may count for nearly all. Counted are {audio} positions of sound, without the silence "
        "behind it, and {text} of the transcript and its prompt."
    ),
    "changes.column.stack": "Stack",
    "changes.column.stage": "Place",
    "changes.column.median": "Relative error, median over positions",
    "changes.column.pooled": "Relative error, pooled",
}

RUSSIAN: dict[str, str] = {
    "changes.tab": "Что изменилось",
    "changes.title": "Какие предсказания изменились",
    "changes.text": "Ваш текст",
    "changes.text_info": (
        "Обе модели читают его и предсказывают каждый токен по предыдущим; читается не больше {tokens} токенов. "
        "Образец — из книги Дарвина «Происхождение видов» (1859), на языке оригинала."
    ),
    "changes.start": "Найти изменения",
    "changes.hint": (
        "Нажмите «{button}»: модель без сжатия и сжатая прочтут один и тот же текст, и различия будут отмечены "
        "здесь, токен за токеном."
    ),
    "changes.hint@speech": (
        "Нажмите «{button}»: модель без сжатия и сжатая услышат одну и ту же запись с одними и теми же словами, и "
        "различия будут отмечены здесь, слово за словом."
    ),
    "changes.reference_info": (
        "Без этого текста берутся слова, которые записывает модель без сжатия. Для записи длиннее 30 секунд оставьте "
        "поле пустым: она разрезается на части."
    ),
    "changes.finished": "Готово: модели сравнены.",
    "changes.summary": (
        "**Предсказание сменилось у {flipped} из {predicted} токенов ({share})**: там сжатая модель считает самым "
        "вероятным другой токен. Средняя потеря: было {dense}, стало {compressed} ната на токен; перплексия: было "
        "{dense_perplexity}, стало {compressed_perplexity}."
    ),
    "changes.summary@speech": (
        "**Предсказание сменилось у {flipped} из {predicted} слов ({share})**, считая конец текста: там сжатая "
        "модель написала бы другое, слыша запись и зная предыдущие слова. Средняя потеря: было {dense}, стало "
        "{compressed} ната на токен; перплексия расшифровки: было {dense_perplexity}, стало {compressed_perplexity}."
    ),
    "changes.summary_none": (
        "**Ни одно предсказание не сменилось**: самые вероятные токены у обеих моделей одни и те же (предсказано "
        "токенов: {predicted}). Средняя потеря: было {dense}, стало {compressed} ната на токен; перплексия: было "
        "{dense_perplexity}, стало {compressed_perplexity}."
    ),
    "changes.summary_none@speech": (
        "**Ни одно предсказание не сменилось**: обе модели написали бы одно и то же (слов, считая конец текста: "
        "{predicted}). Средняя потеря: было {dense}, стало {compressed} ната на токен; перплексия расшифровки: было "
        "{dense_perplexity}, стало {compressed_perplexity}."
    ),
    "changes.summary_same": (
        "**Ничего не изменилось**: модели здесь одинаковы, каждое предсказание и каждая потеря совпадают (токенов: "
        "{predicted}; удалено {removed})."
    ),
    "changes.summary_same@speech": (
        "**Ничего не изменилось**: модели здесь одинаковы, каждое предсказание и каждая потеря совпадают (слов: "
        "{predicted}; удалено {removed})."
    ),
    "changes.most": "Сильнее всего потеря растёт на «{text}»: на {rise} ната.",
    "changes.none_rises": "Потеря нигде не растёт.",
    "changes.cut": "Токенов в тексте: {total}; прочитаны первые {used}.",
    "changes.shown_given": "Слова взяты из вашего текста.",
    "changes.shown_dense": "Слова взяты из расшифровки модели без сжатия.",
    "changes.words": "Текст с отметками изменений",
    "changes.words@speech": "Слова с отметками изменений",
    "changes.empty": "Здесь появится текст с отметками.",
    "changes.mark": "потеря {dense} → {compressed} ната ({rise}); без сжатия «{said}», со сжатием «{says}»",
    "changes.mark_flipped": "предсказание сменилось: {mark}",
    "changes.legend_sample": "текст",
    "changes.legend_rise": "потеря выросла больше чем на {least} ната",
    "changes.legend_flipped": "предсказание сменилось",
    "changes.legend_given": "дано, не предсказывается",
    "changes.legend_note": "Наведите курсор на отметку, чтобы увидеть числа; в таблице ниже они есть для всех.",
    "changes.end": "(конец)",
    "changes.table": "Токены, изменившиеся сильнее всего",
    "changes.table@speech": "Слова, изменившиеся сильнее всего",
    "changes.sort": "Порядок",
    "changes.sort_rise": "сначала с большим ростом потери",
    "changes.sort_place": "как в тексте",
    "changes.sort_flipped": "сначала сменившиеся",
    "changes.filter": "Показать",
    "changes.filter_all": "все",
    "changes.filter_flipped": "только сменившиеся",
    "changes.filter_rise": "потеря выросла больше чем на …",
    "changes.least": "Больше чем (наты)",
    "changes.search": "Найти слово",
    "changes.count": "Показано {shown} из {found}; всего {all}.",
    "changes.count_nothing": "Ничего не подходит: выберите фильтр пошире или другое слово.",
    "changes.more": "Показать ещё",
    "changes.legend_signs": "␣ — пробел, ↵ — перевод строки. Потеря — минус логарифм вероятности, в натах.",
    "changes.column.place": "Место",
    "changes.column.left": "До",
    "changes.column.text": "Токен",
    "changes.column.text@speech": "Слово",
    "changes.column.right": "После",
    "changes.column.context": "В контексте",
    "changes.column.dense_says": "Без сжатия",
    "changes.column.compressed_says": "Со сжатием",
    "changes.column.dense_loss": "Потеря без сжатия (наты)",
    "changes.column.compressed_loss": "Потеря со сжатием (наты)",
    "changes.column.rise": "Рост (наты)",
    "changes.column.flipped": "Сменилось",
    "changes.yes": "да",
    "changes.no": "нет",
    "changes.drift_title": "На какой глубине это начинается",
    "changes.drift_hint": "Здесь появится ошибка скрытого состояния после каждого блока, окно за окном.",
    "changes.drift_x": "блок (E — вход, N — нормировка)",
    "changes.drift_y": "относительная ошибка (доля нормы)",
    "changes.drift_median": "медиана по позициям",
    "changes.drift_pooled": "по всем позициям вместе",
    "changes.stage_embeddings": "эмбеддинги",
    "changes.stage_block": "блок {block}",
    "changes.stage_norm": "после последней нормировки",
    "changes.stack_encoder": "кодировщик",
    "changes.stack_decoder": "декодировщик",
    "changes.drift_none": "Скрытые состояния обеих моделей совпадают во всех блоках.",
    "changes.drift_starts": (
        "Повреждение начинается в блоке {start} — первом, где медиана ошибки ({start_error}) составляет не меньше "
        "{share} от наибольшей ({peak_error}, после блока {peak})."
    ),
    "changes.drift_heals": "Отчасти оно заживает: после последнего блока ошибка {last_error}, меньше на {healed}.",
    "changes.drift_stays": "Оно почти не заживает: после последнего блока ({last}) ошибка всё ещё {last_error}.",
    "changes.drift_grows": "Оно не заживает: больше всего ошибка после последнего блока.",
    "changes.drift_note": (
        "Медиана показывает ошибку в обычной позиции; ошибка по всем позициям вместе (их {positions}) считается по "
        "сумме, где немногие позиции с огромной нормой могут перевесить все остальные."
    ),
    "changes.drift_note@speech": (
        "Медиана показывает ошибку в обычной позиции; ошибка по всем позициям вместе считается по сумме, где "
        "немногие позиции с огромной нормой могут перевесить все остальные. Учтены позиции звука без тишины после "
        "него ({audio}) и позиции расшифровки с её началом ({text})."
    ),
    "changes.column.stack": "Стопка",
    "changes.column.stage": "Место",
    "changes.column.median": "Относительная ошибка, медиана по позициям",
    "changes.column.pooled": "Относительная ошибка, по всем позициям вместе",
}
