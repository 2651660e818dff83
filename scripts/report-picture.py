"""Draws docs/report.png: the pictures of `clarity report` of a simulated person, by headless Chromium.

    report-picture.py CLARITY PNG

Lives through 30 days in a folder of its own, writes the report, and photographs it without its tables.
"""

import json
import pathlib
import shutil
import subprocess
import sys
import tempfile

DAYS = "30"
# The tables are long; the picture is of what one sees first.
STYLE = "<style>.wide, dl, footer, section:has(.sources) { display: none; } h2 { margin-top: 18px; } body { padding-bottom: 0; }</style></head>"
SIZE = "1100,2660"
SCALE = "0.65"


def chromium():
    for name in ("chromium", "chromium-browser", "google-chrome"):
        if path := shutil.which(name):
            return path
    sys.exit("report-picture: there is no chromium, chromium-browser or google-chrome here; install one")


def main():
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    clarity, png = sys.argv[1], pathlib.Path(sys.argv[2]).resolve()
    browser = chromium()
    with tempfile.TemporaryDirectory() as folder:
        data, page = f"{folder}/data", pathlib.Path(folder, "report.html")
        demo = [clarity, "demo", "--exit", "--json", "--days", DAYS, "--listen", "127.0.0.1:0", "--data", data]
        lived = json.loads(subprocess.run(demo, check=True, stdout=subprocess.PIPE).stdout)
        email = lived["account"]["email"]
        report = [clarity, "report", "--user", email, "--days", DAYS, "-o", str(page), "--data", data, "--json"]
        subprocess.run(report, check=True, stdout=subprocess.DEVNULL)
        page.write_text(page.read_text().replace("</head>", STYLE))
        subprocess.run(
            [
                browser,
                "--headless",
                "--no-sandbox",
                "--disable-gpu",
                "--hide-scrollbars",
                f"--user-data-dir={folder}/browser",
                f"--window-size={SIZE}",
                f"--force-device-scale-factor={SCALE}",
                f"--screenshot={png}",
                page.as_uri(),
            ],
            check=True,
            stderr=subprocess.DEVNULL,
        )
    print(f"{png}: {png.stat().st_size} bytes")


if __name__ == "__main__":
    main()
