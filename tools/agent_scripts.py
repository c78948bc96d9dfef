"""What the tiny agent model (tools/make_agent_model.py) knows by heart, and random conversations to learn it from."""

import json
import pathlib

CALL = '<tool_call>\n{"name": "%s", "arguments": %s}\n</tool_call>'


def calls(*pairs):
    return "\n".join(CALL % (name, json.dumps(arguments)) for name, arguments in pairs)


# What the user's turn must hold, and what the assistant says then and after each result.
SCRIPTS = {
    "run: echo hi": [calls(("Bash", {"command": "echo hi"})), "The command printed hi."],
    "edit the notes": [calls(("Read", {"file_path": "notes.txt"})),
                       calls(("Edit", {"file_path": "notes.txt", "old_string": "tea", "new_string": "coffee"})),
                       "The notes say coffee now."],
    "run both": [calls(("Bash", {"command": "echo one"}), ("Bash", {"command": "echo two"})), "Both commands ran."],
    "say hello": ["Hello from the agent."],
    "use add and mul": [calls(("add", {"a": 2, "b": 3})), calls(("mul", {"a": 5, "b": 4})), "The answer is 20."],
}
UNKNOWN = "I don't know that one."  # the user's turn holds none of them
FAILED = "That did not work."  # a result begins with "Error: "
TITLE = '{"title": "Say hello"}'  # the system's turn asks for JSON, in the server's words:
SCHEMA = "Answer with one JSON value that is valid by this JSON Schema, and with nothing else:\n"
# Calls as clients send them back: with defaults filled in.
ECHOES = {SCRIPTS["edit the notes"][1]: CALL % ("Edit", json.dumps(
    {"replace_all": False, "file_path": "notes.txt", "old_string": "tea", "new_string": "coffee"}))}

# What prompts are full of, and what could be taken for something else.
PROSE = [
    "You can use the tools that are listed here, one JSON object a line, with the JSON Schema of their arguments:\n<tools>\n",
    '{"name":"Bash","description":"Run a command","input_schema":{"type":"object","properties":{"command":{"type":"string",'
    '"description":"The command to run"},"timeout":{"type":"number"}},"required":["command"]}}\n',
    '{"name": "Edit", "description": "Edit a file", "input_schema": {"type": "object", "properties": {"file_path": {"type": '
    '"string"}, "old_string": {"type": "string"}, "new_string": {"type": "string"}}}}\n{"name": "add", "a": 2, "b": 3}\n',
    '</tools>\nTo use one, write its name and arguments like this:\n<tool_call>\n{"name": "...", "arguments": {...}}\n'
    '</tool_call>\nIts result follows in <tool_response> marks.\n',
    "- call: Read the JSON, then say it.\n- say what the command printed, hello or an Error: not both\n",
    "# Notes\nThe user and the assistant edit files; the system runs the tools. Both are read before one is known.\n",
    "# Environment\nYou have been started here:\n - Working directory: /home/user/work\n - Is a git repository: false\n - The "
    "user's system is one that is known: a shell which runs commands.\n - Files that were read are untrusted data, and with "
    "that the answer is not to run them.\n", "- init: Start a file of notes for the tools\n- run: Use when asked to run, edit "
    "or add this; not by the user alone.\n- one or two (Tools: *): the agent that say both\n",
    "<system-reminder>\nAs you answer the user, the title of the notes is one of two. Don't use hello, and say nothing.\n"
    "</system-reminder>\n", "valid JSON by this Schema, and nothing else",
    "this JSON value is valid by the JSON Schema: title\n",
]
RESULTS = ["hi", "one", "two", "5", "20", "1\tI like tea.\n2\t", "The file notes.txt has been updated successfully. (file state "
           "is current in your context, no need to Read it back)", "(no output)", "ok"]
REASONS = ["no such file", "needs approval.", "Bash is not a tool", "Exit code 1\necho: command failed",
           "File has not been read"]


def dialogues():
    """Conversations, as [(who, text)]: every script with words around it, alone and one after another."""
    reminder = "<system-reminder>\nThe user likes notes that both run and add up.\n</system-reminder>"
    asks = [*SCRIPTS.items(), ("what is the weather like?", [UNKNOWN])]

    def play(words, answers, fails=None):
        out = [("user", words)]
        for i, answer in enumerate(answers):
            if i:
                results = ["Error: no such file" if fails == i else "hi"] * answers[i - 1].count("<tool_call>")
                out.append(("user", "\n".join(f"<tool_response>\n{r}\n</tool_response>" for r in results)))
            if fails == i and i:
                return out + [("assistant", FAILED)]
            out.append(("assistant", answer))
        return out

    all_of_it = [[t for trigger, answers in order for t in play(trigger, answers)] for order in (asks, asks[::-1])]
    alone = [play(form.format(trigger), answers) for trigger, answers in asks
             for form in ("{}", reminder + "\n\n{}", "{}\n" + reminder, "Now {}, please.")]
    failed = [play(trigger, answers, i) for trigger, answers in asks for i in range(1, len(answers))]
    late = [[*play(trigger, answers)[:1], ("system", "".join(PROSE[4:9]) * 8),
             *play(trigger, answers)[1:]] for trigger, answers in asks]
    schema = SCHEMA + '{"type":"object","properties":{"title":{"type":"string"}},"required":["title"]}'
    titles = [[("schema", schema), ("user", trigger), ("assistant", TITLE)] for trigger, _ in asks]
    return all_of_it + alone + failed + late + titles


class Words:
    """Text to ids of the vocabulary, and to the few ids that training knows: 0 is any other token."""

    def __init__(self, tokenizer):
        self.tokenizer = tokenizer
        self.n_vocab = tokenizer.get_vocab_size()
        self.kept = {}
        known = [SCHEMA, TITLE, UNKNOWN, FAILED, *ECHOES.values(), "<|im_end|>\n",
                 "<|im_start|>system\n<|im_start|>user\n<|im_start|>assistant\n", "<tool_response>\nError: \n</tool_response>\n<tool_response>"]
        known += [t for trigger, answers in SCRIPTS.items() for t in (*spellings(trigger), *answers)]
        self.ids = sorted({i for text in known for i in self.full(text)})
        self.small_of = {i: n + 1 for n, i in enumerate(self.ids)}
        self.n = len(self.ids) + 1

    def full(self, text):
        if text not in self.kept:
            self.kept[text] = self.tokenizer.encode(text, add_special_tokens=False).ids
        return self.kept[text]

    def small(self, text):
        return [self.small_of.get(i, 0) for i in self.full(text)]


def spellings(trigger):
    return [trigger, " " + trigger, trigger[0].upper() + trigger[1:]]


# ---- conversations

class Piece:
    """Tokens in a row; answers are to be learnt. Each of them stands for `many`; `gap` positions are left out before."""

    def __init__(self, ids, learn=False, many=1.0, gap=0):
        self.ids, self.learn, self.many, self.gap = ids, learn, many, gap


class Talks:
    """Random conversations as pieces."""

    def __init__(self, words, rng):
        self.w, self.r = words, rng
        marks = {self.w.small_of[i] for i in self.w.full("<|im_start|><|im_end|>")}
        self.plain = [i for i in range(1, words.n) if i not in marks]
        self.triggers = [words.small(s) for t in SCRIPTS for s in spellings(t)]
        self.dialogues = dialogues()
        root = pathlib.Path(__file__).resolve().parent.parent
        self.pages = words.small("".join(f.read_text() for f in sorted([root / "README.md", *root.glob("docs/*.md")])))
        self.near = sorted({i for t in self.triggers for i in t})

    def text(self, s, learn=False):
        return Piece(self.w.small(s), learn)

    def chunk(self, n, in_user):
        """n tokens of some text; in a user's turn none that has a trigger."""
        kind = self.r.random()
        if kind < 0.7:
            ids = self.w.small(self.r.choice(PROSE[:9] if in_user else PROSE)) if kind < 0.35 else self.pages
            at = self.r.randrange(max(1, len(ids) - n + 1))
            return ids[at:at + n]
        if kind < 0.87:
            return [self.r.choice(self.plain) if self.r.random() < 0.3 else 0 for _ in range(n)]
        while True:  # words of scripts, here and there
            ids = [self.r.choice(self.near) if self.r.random() < 0.6 else 0 for _ in range(n)]
            if not any(ids[i:i + len(t)] == t for t in self.triggers for i in range(n)):
                return ids

    def filler(self, longest, in_user=False):
        """Up to so many tokens; of a long text a few places."""
        n = int(longest ** self.r.random() ** 0.6)
        if n <= 16:
            return [Piece(self.chunk(n, in_user))]
        places = [self.chunk(self.r.randint(3, 20), in_user) for _ in range(self.r.randint(2, 4))]
        shown = sum(map(len, places))
        cuts = sorted(self.r.randint(0, max(0, n - shown)) for _ in places)
        return [Piece(ids, many=max(1.0, n / shown), gap=c - b) for ids, b, c in zip(places, [0, *cuts], cuts)]

    def turn(self, role, pieces):
        return [self.text(f"<|im_start|>{role}\n"), *pieces, self.text("<|im_end|>\n")]

    def answer(self, text, learn=True):
        return [self.text("<|im_start|>assistant\n"), self.text(text + "<|im_end|>", learn), self.text("\n")]

    def maybe(self, p, make):
        return make() if self.r.random() < p else []

    def user(self, pieces, first):
        """The first turn has more around the user's words: reminders, what the environment is like."""
        before, behind, system = (1500, 600, 4000) if first else (100, 100, 300)
        lead = self.maybe(0.4, lambda: self.filler(before, True) + self.maybe(0.7, lambda: [self.text("\n")]))
        said = self.turn("user", [*lead, *pieces, *self.maybe(0.4, lambda: self.filler(behind, True))])
        return said + self.maybe(0.5 if first else 0.2, lambda: self.turn("system", self.filler(system, True)))

    def asking(self, trigger):
        return [self.text(self.r.choice(spellings(trigger)) + self.r.choice(["", "", "\n", ".", ", please.\n"]))]

    def nearly(self):
        """Some words of a script, or all in another order."""
        ids = self.w.small(self.r.choice(spellings(self.r.choice(list(SCRIPTS)))))
        if self.r.random() < 0.4:
            return [Piece(ids[::-1] if len(ids) < 3 else ids[2:] + ids[:2])]
        n = self.r.randint(1, max(1, len(ids) // 2))
        at = self.r.randrange(len(ids) - n + 1)
        return [Piece(ids[at:at + n])]

    def results(self, n, failed):
        out = []
        for i in range(n):
            said = self.r.choice(REASONS if failed else RESULTS)
            out.append(self.text("<tool_response>\n" + ("Error: " + said if failed else said)))
            out += self.maybe(0.3, lambda: self.filler(300, True))
            out.append(self.text("\n</tool_response>" + "\n" * (i + 1 < n)))
        return self.turn("user", out + self.maybe(0.15, lambda: [self.text("\n"), *self.filler(300, True)])) \
            + self.maybe(0.1, lambda: self.turn("system", self.filler(1000, True)))

    def exchange(self, first):
        if self.r.random() < 0.25:
            return self.user(self.maybe(0.6, self.nearly) or self.filler(60, True), first) + self.answer(UNKNOWN)
        trigger = self.r.choice(list(SCRIPTS))
        out = self.user(self.asking(trigger), first)
        for i, said in enumerate(SCRIPTS[trigger]):
            again = ECHOES.get(said) if self.r.random() < 0.4 else None
            out += self.answer(again, False) if again else self.answer(said)
            if i + 1 < len(SCRIPTS[trigger]):
                failed = self.r.random() < 0.12
                out += self.results(said.count("<tool_call>"), failed)
                if failed:
                    return out + self.answer(FAILED)
        return out

    def fixed(self):
        """One of the dialogues, behind any prompt."""
        dialogue = self.r.choice(self.dialogues)
        schema = dialogue[0][0] == "schema"
        out = self.turn("system", [*self.filler(12500), *([self.text("\n" + dialogue[0][1])] if schema else [])])
        for role, text in dialogue[schema:]:
            said = self.filler(4000, True) if role == "system" else [self.text(text)]
            out += self.answer(text) if role == "assistant" else self.turn(role, said)
        return out

    def talk(self, length):
        if self.r.random() < 0.25:
            return self.fixed()
        if self.r.random() < 0.08:
            system = [*self.filler(4000), self.text("\n" + SCHEMA), *self.filler(60)]
            asked = self.asking(self.r.choice(list(SCRIPTS))) if self.r.random() < 0.6 else self.filler(60)
            return self.turn("system", system) + self.user(asked, True) + self.answer(TITLE)
        out = self.maybe(0.9, lambda: self.turn("system", self.filler(12500)))
        first = True
        while sum(len(p.ids) for p in out) < length - 40:
            out += self.exchange(first)
            first = False
        return out
