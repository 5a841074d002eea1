"""What everybody has in a file: a person who writes it has taken nobody's answer."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.played_day import Day
from tests.support.played_home import PlayedHome

LICENSE = "".join(
    f"{{0}} {line}\n"
    for line in (
        "Copyright 2024 The authors of the tables",
        'Licensed under the Apache License, Version 2.0 (the "License");',
        "you may not use this file except in compliance with the License.",
        "You may obtain a copy of the License at",
        "http://www.apache.org/licenses/LICENSE-2.0",
    )
)
EVERYBODYS = {
    "python": (
        LICENSE.format("#") + "\n",
        '"""\n' + LICENSE.format("").replace("\n ", "\n").lstrip() + '"""\n',
        'if __name__ == "__main__":\n    main()\n',
        'if __name__ == "__main__":\n    raise SystemExit(main())\n',
        "import logging\nimport os\n\nlogger = logging.getLogger(__name__)\n",
        "    @property\n    def customer_name(self) -> str:\n        return self._customer_name\n",
        '    def get_total(self):\n        """The total."""\n        return self.total\n',
        "    def set_total(self, total):\n        self.total = total\n",
        "def test_it():\n    pass\n\n\ndef test_more():\n    pass\n\n\ndef test_none():\n    ...\n",
        "class TestInvoices(unittest.TestCase):\n    def setUp(self):\n        pass\n\n"
        "    def tearDown(self):\n        pass\n\n    def test_it(self):\n        pass\n",
        "    def __init__(self, name, street, city):\n        self.name = name\n"
        "        self.street = street\n        self.city = city\n",
        "#!/usr/bin/env python3\n# -*- coding: utf-8 -*-\nfrom __future__ import annotations\n"
        "import argparse\nimport sys\n",
        "from collections.abc import (\n    Callable,\n    Iterable,\n    Iterator,\n    Mapping,\n"
        "    Sequence,\n)\nfrom typing import Any\n",
        "try:\n    import tomllib\nexcept ImportError:\n    import tomli as tomllib\n",
    ),
    "typescript": (
        "/*\n" + LICENSE.format(" *") + " */\n",
        LICENSE.format("//") + "\n",
        '"use strict";\nimport fs from "node:fs";\nimport { join } from "node:path";\n',
        "  get customerName(): string {\n    return this._customerName;\n  }\n",
        "  setTotal(total: number): void {\n    this.total = total;\n  }\n",
        "  constructor(name: string, street: string) {\n    this.name = name;\n"
        "    this.street = street;\n  }\n",
        "describe('rows', () => {\n  it('works', () => {});\n  it('fails', () => {});\n});\n",
        "test('it works', () => {\n});\n\ntest('more works', () => {\n});\n",
        'export * from "./rows";\nexport * from "./groups";\nexport { Table } from "./tables";\n',
        "module.exports = {\n  groupBy,\n  first,\n  Table,\n};\n",
        "import {\n  Row,\n  Table,\n  groupBy,\n  first,\n} from './rows';\nexport default App;\n",
        "if (require.main === module) {\n  main();\n}\n",
        "main().catch((error) => {\n  console.error(error);\n  process.exit(1);\n});\n",
    ),
}


GO = (
    'import (\n\t"bufio"\n\t"bytes"\n\t"context"\n\t"errors"\n\t"fmt"\n\tlog "log/slog"\n\t"os"\n'
    '\t"strings"\n\t"time"\n)\n',
    "\tif err != nil {\n\t\treturn nil, err\n\t}\n",
    "func (p *Part) Name() string {\n\treturn p.name\n}\n",
)
RUST = (
    "use std::collections::{\n    BTreeMap,\n    HashMap,\n    HashSet,\n    VecDeque,\n};\n",
    "#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]\n",
    "#[cfg(test)]\nmod tests {\n    use super::*;\n\n    #[test]\n    fn it_works() {\n    }\n}\n",
)


@pytest.mark.parametrize(
    ("language", "codes", "end"),
    [
        *(("python", EVERYBODYS["python"], "py"), ("typescript", EVERYBODYS["typescript"], "ts")),
        *(("typescript", GO, "go"), ("typescript", RUST, "rs")),
    ],
    ids=["python", "typescript", "go", "rust"],
)
def test_what_everybody_writes_is_no_answer_taken(
    tmp_path: Path, language: str, codes: tuple[str, ...], end: str
) -> None:
    with PlayedHome(tmp_path) as home:
        day = Day(home, language)
        turns = [day.ask(code, fence=end) for code in codes]
        for number, code in enumerate(codes):
            own = f"{code}\n\n{day.second}".replace("discount_for", f"discount_{number}")
            day.repo.save(f"own_{number}.{end}", own.replace("summary", f"summary{number}"))
        day.later()
        said = {code: home.fates(turn) for code, turn in zip(codes, turns, strict=True)}
        assert said == dict.fromkeys(codes, ("unknown",))
