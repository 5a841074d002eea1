"""The code of two small projects in which a first day is played: Python and TypeScript."""

from __future__ import annotations

import textwrap


def code(text: str) -> str:
    """A text without the indentation that it has here."""
    return textwrap.dedent(text).lstrip("\n")


TOTALS = code('''
    """Totals of invoices."""

    from decimal import Decimal


    def net_total(lines):
        """The sum of all lines without tax."""
        return sum((line.price * line.count for line in lines), Decimal(0))


    class Invoice:
        """One invoice."""

        def __init__(self, lines):
            self.lines = lines

        def is_empty(self):
            """Whether it has no lines."""
            return not self.lines
''')

OVERDUE = code('''
    def overdue_amounts(invoices, today, grace_days=14):
        """Open amounts of overdue invoices, by customer."""
        amounts = {}
        for invoice in invoices:
            late = (today - invoice.due).days - grace_days
            if late <= 0 or invoice.paid >= invoice.total:
                continue
            open_amount = invoice.total - invoice.paid
            amounts[invoice.customer] = amounts.get(invoice.customer, 0) + open_amount
        return amounts
''')

DISCOUNT = code('''
    def discount_for(customer, total):
        """The share of a total that a customer need not pay."""
        if customer.years >= 10 and total > 1000:
            return Decimal("0.05")
        if customer.orders > 50:
            return Decimal("0.03")
        return Decimal(0)
''')

OWN = code('''
    def parse_customer(text):
        """A customer from a line of the address book."""
        name, _, rest = text.partition(";")
        street, city = rest.split(";", 1)
        return {"name": name.strip(), "street": street, "city": city.rstrip()}
''')

METHOD = code('''
    def latest(self, count=5):
        """The newest lines, newest first."""
        ordered = sorted(self.lines, key=lambda line: line.added, reverse=True)
        chosen = ordered[:count]
        for line in chosen:
            line.shown += 1
        return chosen
''')

HINTED = code('''
    class Address:
        """Where a customer lives."""

        def __init__(self, street: str, city: str, zip_code: str) -> None:
            self.street = street
            self.city = city
            self.zip_code = zip_code

        def one_line(self, separator: str = ", ") -> str:
            """The whole address on one line."""
            return separator.join([self.street, f"{self.zip_code} {self.city}"])
''')

STRUCTURED = code('''
    def csv_lines(rows, columns):
        """The rows as lines of a CSV file."""
        out = [";".join(columns)]
        for row in rows:
            cells = []
            for column in columns:
                value = row.get(column, "")
                cells.append(str(value).replace(";", ","))
            out.append(";".join(cells))
        return out
''')

GROUPS = code("""
    import { Row } from "./rows";

    export const first = (rows: Row[]): Row | undefined => rows[0];

    export class Table {
      constructor(private rows: Row[]) {}

      size(): number {
        return this.rows.length;
      }
    }
""")

GROUP_BY = code("""
    export const groupBy = (rows: Row[], key: (row: Row) => string): Map<string, Row[]> => {
      const groups = new Map<string, Row[]>();
      for (const row of rows) {
        const name = key(row);
        const group = groups.get(name) ?? [];
        group.push(row);
        groups.set(name, group);
      }
      return groups;
    };
""")

SUMMARY = code("""
    export function summary(rows: Row[], limit: number): string {
      const names = rows.slice(0, limit).map((row) => row.name.trim());
      const more = rows.length - names.length;
      if (more > 0) {
        names.push(`and ${more} more`);
      }
      return names.join(", ");
    }
""")

OWN_SCRIPT = code("""
    export function parseRow(line: string): Row {
      const [name, amount] = line.split(";");
      if (amount === undefined) {
        throw new Error(`no amount in ${line}`);
      }
      return { name: name.trim(), amount: Number.parseFloat(amount) };
    }
""")

ROWS_METHOD = code("""
    largest(count: number): Row[] {
      const ordered = [...this.rows].sort((a, b) => b.amount - a.amount);
      const chosen = ordered.slice(0, count);
      chosen.forEach((row) => row.shown++);
      return chosen;
    }
""")
