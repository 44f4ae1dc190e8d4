"""Answers, for each line of JSON with `cron`, `zone` and `at` (milliseconds since 1970), when the expression comes next, and whether that
is in the second half of an hour that comes twice; or `none`."""
import json
import sys
from datetime import datetime
from zoneinfo import ZoneInfo

from croniter import croniter

for line in sys.stdin:
    asked = json.loads(line)
    try:
        begin = datetime.fromtimestamp(asked["at"] / 1000, tz=ZoneInfo(asked["zone"]))
        found = croniter(asked["cron"], begin, max_years_between_matches=30).get_next(datetime)
        found = found.astimezone(ZoneInfo(asked["zone"]))
        print(int(found.timestamp() * 1000), found.fold)
    except Exception:
        print("none 0")
