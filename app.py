"""Compression Cost Explorer: ``python app.py`` and open the printed address."""

from __future__ import annotations

from views.page import build, launch_options

demo = build()

if __name__ == "__main__":
    demo.launch(**launch_options())
