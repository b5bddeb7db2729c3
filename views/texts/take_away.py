"""The words of the tab “Take away”, in both languages."""

from __future__ import annotations

ENGLISH: dict[str, str] = {
    "take_away.tab": "Take away",
    "take_away.title": "Export",
    "take_away.export": "Export",
    "take_away.predicted": (
        "Predicted: about {mb} MB of weights (dense {dense} MB at 16 bits). Tokenizer, configuration and reports come "
        "on top."
    ),
    "take_away.predicted_unknown": "How large the weights will be is known once the model has been analysed (Explore).",
    "take_away.hint": (
        "Press “{button}”: the model is compressed, written, and loaded again by a fresh process, whose logits are "
        "compared with those in memory."
    ),
    "take_away.done_equal": (
        "{recipe}: a fresh process loaded the export in {seconds} s, and all its {count} logits are equal to the bit. "
        "The weights take {weights} MB on disk, the accounting says {accounted} MB ({excess}); the whole folder takes "
        "{folder} MB."
    ),
    "take_away.done_different": (
        "{recipe}: a fresh process loaded the export in {seconds} s, but of its {count} logits some differ, by up to "
        "{difference}. The weights take {weights} MB on disk, the accounting says {accounted} MB ({excess}); the whole "
        "folder takes {folder} MB."
    ),
    "take_away.finished": "Written and checked.",
    "take_away.caution": "The original is {note}.",
    "take_away.column.figure": "Figure",
    "take_away.column.value": "Value",
    "take_away.row.equal": "Logits equal to the bit",
    "take_away.row.difference": "Largest difference of a logit",
    "take_away.row.compared": "Logits compared (count)",
    "take_away.row.accounted": "Weights by the accounting (bytes)",
    "take_away.row.weights": "Weights on disk (bytes)",
    "take_away.row.excess": "Weights on disk − accounting (%)",
    "take_away.row.folder": "Whole folder (bytes)",
    "take_away.row.seconds": "Loading in the fresh process (s)",
    "take_away.row.threads": "Threads (count)",
    "take_away.yes": "yes",
    "take_away.no": "no",
    "take_away.download": "Download (zip)",
    "take_away.command": "Make it again",
    "take_away.snippet": "Load it in Python",
    "take_away.card": "Model card",
    "take_away.push_title": "Upload to the Hugging Face Hub",
    "take_away.push": "Push to Hub",
    "take_away.push_hint": "Nothing is uploaded before you press “{button}”.",
    "take_away.push_hint_login": (
        "Sign in first: that opens this page again, and an export made before is there at once. Nothing is uploaded "
        "before you press “{button}”."
    ),
    "take_away.repository": "Repository",
    "take_away.repository_info": "owner/name; it is made if it does not exist.",
    "take_away.private": "Make a new repository private",
    "take_away.update": "Update it if it holds a compressed model already",
    "take_away.pushed": "Uploaded: {address}",
    "take_away.login": "Sign in with Hugging Face",
    "take_away.logout": "Sign out ({name})",
    "take_away.not_exported": "Nothing is exported for this setting: press “{button}” first.",
    "take_away.gone": "The export is no longer in the cache: press “{button}” to make it again.",
    "take_away.log_in": "Nobody is signed in: press “{button}” first.",
    "take_away.no_login": (
        "This server cannot sign you in: download the export, and run `python -m compression push` on your own machine."
    ),
}

RUSSIAN: dict[str, str] = {
    "take_away.tab": "С собой",
    "take_away.title": "Экспорт",
    "take_away.export": "Экспортировать",
    "take_away.predicted": (
        "Прогноз: веса займут около {mb}\u00a0МБ (без сжатия {dense}\u00a0МБ, 16 бит на вес). Токенизатор, "
        "конфигурация и отчёты сверх того."
    ),
    "take_away.predicted_unknown": (
        "Размер весов станет известен, когда модель будет проанализирована (вкладка «Обзор»)."
    ),
    "take_away.hint": (
        "Нажмите «{button}»: модель сжимается, записывается, и её заново загружает новый процесс, логиты которого "
        "сравниваются с логитами в памяти."
    ),
    "take_away.done_equal": (
        "{recipe}: новый процесс загрузил экспорт за {seconds}\u00a0с, и все его логиты совпали до бита (всего "
        "{count}). Веса занимают на диске {weights}\u00a0МБ, по учёту {accounted}\u00a0МБ ({excess}); вся папка "
        "занимает {folder}\u00a0МБ."
    ),
    "take_away.done_different": (
        "{recipe}: новый процесс загрузил экспорт за {seconds}\u00a0с, но часть логитов отличается (всего {count}), "
        "самое большее на {difference}. Веса занимают на диске {weights}\u00a0МБ, по учёту {accounted}\u00a0МБ "
        "({excess}); вся папка занимает {folder}\u00a0МБ."
    ),
    "take_away.finished": "Записано и проверено.",
    "take_away.caution": "Исходная модель: {note}.",
    "take_away.column.figure": "Показатель",
    "take_away.column.value": "Значение",
    "take_away.row.equal": "Логиты совпали до бита",
    "take_away.row.difference": "Наибольшее отличие логита",
    "take_away.row.compared": "Сравнено логитов (шт.)",
    "take_away.row.accounted": "Веса по учёту (байты)",
    "take_away.row.weights": "Веса на диске (байты)",
    "take_away.row.excess": "Веса на диске − учёт (в процентах)",
    "take_away.row.folder": "Вся папка (байты)",
    "take_away.row.seconds": "Загрузка в новом процессе (с)",
    "take_away.row.threads": "Потоки (шт.)",
    "take_away.yes": "да",
    "take_away.no": "нет",
    "take_away.download": "Скачать (zip)",
    "take_away.command": "Получить то же самое",
    "take_away.snippet": "Загрузить в Python",
    "take_away.card": "Карточка модели (по-английски)",
    "take_away.push_title": "Публикация на Hub",
    "take_away.push": "Отправить на Hub",
    "take_away.push_hint": "Пока вы не нажали «{button}», ничего не отправляется.",
    "take_away.push_hint_login": (
        "Сначала войдите: страница откроется заново, а сделанный раньше экспорт найдётся сразу. Пока вы не нажали "
        "«{button}», ничего не отправляется."
    ),
    "take_away.repository": "Репозиторий",
    "take_away.repository_info": "владелец/имя; если его нет, он будет создан.",
    "take_away.private": "Сделать новый репозиторий закрытым",
    "take_away.update": "Обновить, если там уже есть сжатая модель",
    "take_away.pushed": "Отправлено: {address}",
    "take_away.login": "Войти через Hugging\u00a0Face",
    "take_away.logout": "Выйти ({name})",
    "take_away.not_exported": "Для этих настроек экспорта ещё нет: сначала нажмите «{button}».",
    "take_away.gone": "Экспорта больше нет в кэше: нажмите «{button}», чтобы сделать его заново.",
    "take_away.log_in": "Никто не вошёл: сначала нажмите «{button}».",
    "take_away.no_login": (
        "На этом сервере войти нельзя: скачайте экспорт и выполните `python -m compression push` на своей машине."
    ),
}
