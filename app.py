"""Compression Cost Explorer: ``python app.py`` and open the printed address."""

from __future__ import annotations

from views.page import build, launch_options, warm_up

demo = build()

if __name__ == "__main__":
    warm_up()
    demo.launch(**launch_options())
