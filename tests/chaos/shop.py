"""The catalog of the shop under test, and what may be read of each product at each moment. Standard library only."""
import json
import random
import threading
import time

COLORS = ["Black", "White", "Red", "Blue", "Green", "Brown", "Grey", "Pink", "Yellow", "Purple"]
CATEGORIES = ["Casual Shoes", "Formal Shoes", "Sports Shoes", "Sandals", "Boots", "Shirts", "Jeans", "Dresses", "Jackets", "Handbags"]
BRANDS = ["Norrfold", "Kastell", "Vireo", "Tamber", "Oslund", "Perrin", "Maskado", "Luneth"]
GENDERS = ["Men", "Women", "Boys", "Girls", "Unisex"]
SYLLABLES = ["ba", "de", "fi", "go", "hu", "ka", "le", "mi", "no", "pu", "ra", "se", "ti", "vo", "zu", "ya"]
# So many products of a line, none of which is ever written: what is found of a line is known.
LINE = 15
# What a hit shows of a product.
SHOWN = ["title", "price", "color", "category", "brand", "gender"]
ATTRIBUTES = ["color", "category", "brand", "gender", "line", "kind"]


def name(number):
    """A word for each number, the same word for no other."""
    word = ""
    for _ in range(6):
        number, rest = divmod(number, len(SYLLABLES))
        word = SYLLABLES[rest] + word
        if not number:
            break
    return ("xo" + word).capitalize()


def state(number, price, dice, line=None):
    color, category, brand = dice.choice(COLORS), dice.choice(CATEGORIES), dice.choice(BRANDS)
    return {
        "title": f"{brand} {name(number)} {color} {category}", "price": price, "color": color, "category": category,
        "brand": brand, "gender": dice.choice(GENDERS), "line": line, "kind": "moving" if line is None else "still",
    }


def row(product, of):
    """As the API and an import take it."""
    attributes = {key: of[key] for key in ATTRIBUTES if of[key] is not None}
    return {"id": product, "title": of["title"], "price": of["price"], "currency": "EUR", "attributes": attributes}


class Entry:
    """What a product was from one moment on: one state, or several of which it is not known which. A state of None: it was not
    there."""

    __slots__ = ("states", "replaced")

    def __init__(self, states):
        self.states, self.replaced = states, None


class Product:
    def __init__(self, product, first):
        self.id, self.entries = product, [Entry([first])]
        self.busy = self.doubtful = False
        # The revision of the last write that was acknowledged, while no other one followed.
        self.revision = None

    def become(self, states):
        self.entries[-1].replaced = time.monotonic()
        self.entries.append(Entry(states))

    def now(self):
        return self.entries[-1].states

    def possible(self, since):
        """Every state that may have been read after `since`."""
        return [one for entry in self.entries if entry.replaced is None or entry.replaced > since for one in entry.states]

    def age(self, fits, asked):
        """For how long before `asked` no state that fits has been there; None: there never was one."""
        ages = [0 if entry.replaced is None else max(0, asked - entry.replaced)
                for entry in self.entries if any(fits(one) for one in entry.states)]
        return min(ages, default=None)


class Shop:
    def __init__(self, products, seed=1):
        dice = random.Random(seed)
        self.lock, self.products, self.lines = threading.Lock(), {}, {}
        self.serial = products
        still = products // 10 // LINE * LINE
        for number in range(products):
            line = f"L{number // LINE:04}" if number < still else None
            product = Product(str(100_000 + number), state(number, dice.randrange(1000, 20_000) / 100, dice, line))
            self.products[product.id] = product
            if line:
                self.lines.setdefault(line, []).append(product.id)
        self.still = [one for ids in self.lines.values() for one in ids]
        still = set(self.still)
        self.moving = [one for one in self.products if one not in still]
        self.written = []

    def write_lines(self, file):
        with file.open("w") as out:
            for product in self.products.values():
                out.write(json.dumps(row(product.id, product.now()[0])) + "\n")

    def next_serial(self):
        with self.lock:
            self.serial += 1
            return self.serial

    def price(self, serial):
        """One that no other product has or had."""
        return round(1000 + serial / 100, 2)

    def begin(self, dice, wanted):
        """A product that nobody else is writing and that `wanted` takes; it is the caller's until `finish`."""
        with self.lock:
            for _ in range(1000):
                product = self.products[dice.choice(self.moving)]
                if not product.busy and not product.doubtful and wanted(product):
                    product.busy = True
                    return product
        raise RuntimeError("no product is left to write")

    def new(self):
        serial = self.next_serial()
        with self.lock:
            product = Product(str(900_000 + serial), None)
            product.busy = True
            self.products[product.id] = product
            self.moving.append(product.id)
        return product

    def send(self, product, change):
        """Notes that a change goes out: from now on the product may have it."""
        with self.lock:
            before = product.now()
            after = [change(one) for one in before]
            product.become(before + [one for one in after if one not in before])
            product.revision = None
        return before, after

    def finish(self, product, states, doubtful=False, revision=None):
        """Notes what became of it: `states`, or what it was or may have become where that is None. What is doubtful is not written
        again: it could still be made later."""
        with self.lock:
            if states is not None:
                product.become(states)
            product.revision = revision
            product.busy, product.doubtful = False, product.doubtful or doubtful
            self.written.append(product.id)
            return product.entries[-1]
