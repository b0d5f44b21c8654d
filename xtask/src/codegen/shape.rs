//! What methods a command's arguments make: which are parameters, which are options, and what must come before what.
//!
//! A *slot* is a group of options of which one may be given, once, or something that must be given before the command is complete. A
//! builder's type has a marker for each. How that is written in Rust is for `emit`.

use anyhow::{Result, anyhow, bail};

use super::grammar::Item;

/// A command's methods.
#[derive(Debug)]
pub(crate) struct Shape {
    /// What the first method takes.
    pub(crate) head: Call,
    /// What can follow it, if anything.
    pub(crate) steps: Vec<Step>,
    pub(crate) slots: Vec<Slot>,
}

/// One method's parameters, and what it writes.
#[derive(Debug, Clone, Default)]
pub(crate) struct Call {
    pub(crate) params: Vec<Param>,
    pub(crate) writes: Vec<Write>,
}

#[derive(Debug, Clone)]
pub(crate) struct Param {
    pub(crate) name: String,
    pub(crate) kind: Kind,
}

/// What a parameter can be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Kind {
    Arg,
    Integer,
    Number,
    /// One of these words.
    Words(Vec<String>),
    /// Several of what one can be.
    Each(Box<Self>),
    /// Several rows.
    Rows(Vec<Self>),
}

#[derive(Debug, Clone)]
pub(crate) enum Write {
    Word(String),
    One(String),
    Each(String),
    Rows(String),
    /// How many there are, then they.
    CountedEach(String),
    CountedRows(String),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Slot {
    /// May be given once.
    Optional,
    /// Must be given once.
    Needed,
    /// Must be given, and may be given again.
    Growing,
}

/// A method of the builder.
#[derive(Debug)]
pub(crate) struct Step {
    pub(crate) name: String,
    pub(crate) call: Call,
    /// The slot that it fills; none if it may be called any number of times.
    pub(crate) slot: Option<usize>,
    /// Slots that must be filled before.
    pub(crate) after: Vec<usize>,
    /// Slots that must not be filled before.
    pub(crate) before: Vec<usize>,
    /// Slots that it closes: what would fill them does not go with it.
    pub(crate) closes: Vec<usize>,
}

/// The shape of these arguments.
pub(crate) fn of(args: &Item) -> Result<Shape> {
    let items = args.parts();
    let head_len = items.iter().position(|item| !is_plain(item)).unwrap_or(items.len());
    let (head, rest) = items.split_at(head_len);
    let mut builder = Builder::default();
    builder.rest(rest)?;
    let Builder { steps, slots, .. } = builder;
    Ok(Shape { head: call(head)?, steps, slots })
}

impl Shape {
    /// Two options that don't go with each other, though the arguments would let them.
    pub(crate) fn exclude(&mut self, one: &str, other: &str) -> Result<()> {
        let slot = self.slot_of(other)?;
        self.step_named(one)?.closes.push(slot);
        Ok(())
    }

    /// An option that is possible only behind another.
    pub(crate) fn need(&mut self, one: &str, other: &str) -> Result<()> {
        let slot = self.slot_of(other)?;
        self.step_named(one)?.after.push(slot);
        Ok(())
    }

    fn slot_of(&mut self, name: &str) -> Result<usize> {
        let slot = self.step_named(name)?.slot;
        slot.ok_or_else(|| anyhow!("`{name}` may be given any number of times"))
    }

    fn step_named(&mut self, name: &str) -> Result<&mut Step> {
        let mut steps = self.steps.iter_mut();
        steps.find(|step| step.name == name).ok_or_else(|| anyhow!("it has no option `{name}`"))
    }
}

/// Whether it is a parameter or a word wherever it stands.
fn is_plain(item: &Item) -> bool {
    match item.bare() {
        Item::Value { .. } | Item::Token(_) => true,
        Item::Seq(items) => items.iter().all(is_plain),
        Item::OneOf(_) => words(item).is_some(),
        Item::Many(inner) => {
            inner.parts().iter().all(|item| matches!(item.bare(), Item::Value { .. }))
        }
        _ => false,
    }
}

/// The words, if it is a choice among words.
fn words(item: &Item) -> Option<Vec<String>> {
    let Item::OneOf(items) = item.bare() else { return None };
    items
        .iter()
        .map(|item| match item.bare() {
            Item::Token(word) => Some(word.clone()),
            _ => None,
        })
        .collect()
}

fn call(items: &[Item]) -> Result<Call> {
    let mut call = Call::default();
    let mut items = flat(items).into_iter().peekable();
    while let Some(item) = items.next() {
        let next_is_many = items.peek().is_some_and(|next| matches!(next.bare(), Item::Many(_)));
        match item.bare() {
            Item::Token(word) => call.writes.push(Write::Word(word.clone())),
            Item::Value { name, kind }
                if next_is_many && kind == "integer" && name.starts_with("num") =>
            {
                let many = items.next().ok_or_else(|| anyhow!("nothing to count"))?;
                call.many(many, true)?;
            }
            Item::Value { name, kind } => {
                call.writes.push(Write::One(snake(name)));
                call.params.push(Param { name: snake(name), kind: value(kind)? });
            }
            Item::OneOf(_) => {
                // Named by the word before it, if by nothing else.
                let name = match (item.label(), call.writes.last()) {
                    (Some(label), _) => label.to_owned(),
                    (None, Some(Write::Word(word))) => snake(word),
                    _ => bail!("no name for `{item}`"),
                };
                let words = words(item).ok_or_else(|| anyhow!("`{item}` is no choice of words"))?;
                call.writes.push(Write::One(name.clone()));
                call.params.push(Param { name, kind: Kind::Words(words) });
            }
            Item::Many(_) => call.many(item, false)?,
            _ => bail!("`{item}` can't be a parameter"),
        }
    }
    Ok(call)
}

fn flat(items: &[Item]) -> Vec<&Item> {
    items
        .iter()
        .flat_map(|item| match item.bare() {
            Item::Seq(inner) => flat(inner),
            _ => vec![item],
        })
        .collect()
}

impl Call {
    fn many(&mut self, item: &Item, counted: bool) -> Result<()> {
        let Item::Many(inner) = item.bare() else { bail!("`{item}` is not repeated") };
        let label = item.label().or_else(|| inner.label());
        let kinds = inner
            .parts()
            .iter()
            .map(|part| match part.bare() {
                Item::Value { kind, .. } => value(kind),
                _ => bail!("`{part}` can't be repeated"),
            })
            .collect::<Result<Vec<_>>>()?;
        let first = match inner.parts().first().map(Item::bare) {
            Some(Item::Value { name, .. }) => plural(&snake(name)),
            _ => bail!("`{item}` is empty"),
        };
        let name = label.map_or(first, str::to_owned);
        let rows = kinds.len() > 1;
        let kind = match <[Kind; 1]>::try_from(kinds) {
            Ok([one]) => Kind::Each(Box::new(one)),
            Err(kinds) => Kind::Rows(kinds),
        };
        self.writes.push(match (rows, counted) {
            (false, false) => Write::Each(name.clone()),
            (false, true) => Write::CountedEach(name.clone()),
            (true, false) => Write::Rows(name.clone()),
            (true, true) => Write::CountedRows(name.clone()),
        });
        self.params.push(Param { name, kind });
        Ok(())
    }
}

fn value(kind: &str) -> Result<Kind> {
    Ok(match kind {
        "key" | "string" | "pattern" => Kind::Arg,
        "integer" | "unix-time" => Kind::Integer,
        "double" => Kind::Number,
        _ => bail!("`{kind}` is no type of a value"),
    })
}

/// `KEY-NAME` as a Rust name.
pub(crate) fn snake(name: &str) -> String {
    let name = name.to_lowercase().replace(['-', ' ', '.'], "_");
    match name.as_str() {
        "async" | "match" | "move" | "ref" | "type" => format!("{name}_"),
        _ => name,
    }
}

pub(crate) fn plural(name: &str) -> String {
    if name.ends_with('s') { name.to_owned() } else { format!("{name}s") }
}

fn singular(name: &str) -> String {
    name.strip_suffix('s').unwrap_or(name).to_owned()
}

#[derive(Default)]
struct Builder {
    steps: Vec<Step>,
    slots: Vec<Slot>,
    /// The last thing that must be given before what comes now.
    barrier: Option<usize>,
    /// Steps since then, which must come before the next.
    waiting: Vec<usize>,
}

impl Builder {
    fn rest(&mut self, items: &[Item]) -> Result<()> {
        let mut run: Vec<Item> = Vec::new();
        for (index, item) in items.iter().enumerate() {
            let is_rows = matches!(item.bare(), Item::Many(inner) if inner.parts().len() > 1);
            if is_plain(item) {
                // Rows are methods of their own, unless they are counted.
                let is_counted = run.last().is_some_and(is_count);
                if is_rows && !is_counted {
                    self.required(&std::mem::take(&mut run))?;
                    self.rows(item)?;
                } else {
                    run.push(item.clone());
                }
                continue;
            }
            self.required(&std::mem::take(&mut run))?;
            match item.bare() {
                Item::Optional(inner) => self.optional(inner, item.label(), None)?,
                Item::OneOf(choices) => {
                    let slot = self.slot(Slot::Needed);
                    // Beginning with a word, it may stand anywhere; but not behind what has a place of its own.
                    let has_place = items.iter().skip(index + 1).any(is_plain);
                    if has_place {
                        self.pass(slot);
                    }
                    self.choices(choices, slot, None)?;
                    if has_place {
                        self.barrier = Some(slot);
                    }
                }
                Item::Many(inner) => {
                    let slot = self.slot(Slot::Growing);
                    let Item::OneOf(items) = inner.bare() else {
                        bail!("`{item}` is not understood")
                    };
                    for item in items {
                        self.step(item, Some(slot), None)?;
                    }
                }
                _ => bail!("`{item}` is not understood"),
            }
        }
        self.required(&run)
    }

    fn slot(&mut self, slot: Slot) -> usize {
        self.slots.push(slot);
        self.slots.len() - 1
    }

    /// Something that must be given, in its place.
    fn required(&mut self, run: &[Item]) -> Result<()> {
        let Some(first) = run.first() else { return Ok(()) };
        let call = call(run)?;
        let name = match (run.iter().find_map(Item::label), first.bare()) {
            (Some(label), _) => label.to_owned(),
            (None, Item::Token(word)) => snake(word),
            _ => call.params.first().ok_or_else(|| anyhow!("nothing is asked for"))?.name.clone(),
        };
        let slot = self.slot(Slot::Needed);
        self.pass(slot);
        self.push(name, call, Some(slot), None);
        self.barrier = Some(slot);
        Ok(())
    }

    /// Rows, given one by one or all at once.
    fn rows(&mut self, item: &Item) -> Result<()> {
        let slot = self.slot(Slot::Growing);
        self.pass(slot);
        let many = call(std::slice::from_ref(item))?;
        let name = many.params.first().ok_or_else(|| anyhow!("no rows"))?.name.clone();
        let Item::Many(inner) = item.bare() else { bail!("`{item}` is not repeated") };
        let one = call(inner.bare().parts())?;
        self.push(singular(&name), one, Some(slot), None);
        self.push(name, many, Some(slot), None);
        self.barrier = Some(slot);
        Ok(())
    }

    /// What was possible until now must come before this slot is filled.
    fn pass(&mut self, slot: usize) {
        for step in std::mem::take(&mut self.waiting) {
            if let Some(step) = self.steps.get_mut(step) {
                step.before.push(slot);
            }
        }
    }

    fn push(&mut self, name: String, call: Call, slot: Option<usize>, parent: Option<usize>) {
        let after = self.barrier.into_iter().chain(parent).collect();
        self.waiting.push(self.steps.len());
        let (before, closes) = (Vec::new(), Vec::new());
        self.steps.push(Step { name, call, slot, after, before, closes });
    }

    fn optional(&mut self, inner: &Item, label: Option<&str>, parent: Option<usize>) -> Result<()> {
        let label = label.or_else(|| inner.label());
        match inner.bare() {
            // One method with the words as its parameter, if it has a name.
            Item::OneOf(items) if label.is_none() || words(inner).is_none() => {
                let slot = self.slot(Slot::Optional);
                self.choices(items, slot, parent)
            }
            // A choice, and what can follow whichever was chosen.
            Item::Seq(items)
                if items.first().is_some_and(|first| matches!(first.bare(), Item::OneOf(_)))
                    && items.first().and_then(words).is_none() =>
            {
                let slot = self.slot(Slot::Optional);
                let Some((Item::OneOf(choices), nested)) =
                    items.split_first().map(|(first, nested)| (first.bare(), nested))
                else {
                    bail!("`{inner}` is not understood")
                };
                choices.iter().try_for_each(|item| self.step(item, Some(slot), parent))?;
                self.nested(nested, slot)
            }
            Item::Many(repeated) => match repeated.bare() {
                Item::OneOf(items) if words(repeated).is_none() => {
                    items.iter().try_for_each(|item| self.step(item, None, parent))
                }
                Item::Value { .. } => self.step(inner, None, parent),
                _ => self.step(repeated, None, parent),
            },
            _ => {
                let slot = self.slot(Slot::Optional);
                self.step_named(inner, label, Some(slot), parent)
            }
        }
    }

    /// Methods of which one may be called; what goes with one does not go with the others.
    fn choices(&mut self, items: &[Item], slot: usize, parent: Option<usize>) -> Result<()> {
        let mut heads = Vec::new();
        for item in items {
            let (head, first) = (self.steps.len(), self.slots.len());
            self.step(item, Some(slot), parent)?;
            heads.push((head, first..self.slots.len()));
        }
        for (head, own) in &heads {
            let all = heads.iter().flat_map(|(_, slots)| slots.clone());
            if let Some(step) = self.steps.get_mut(*head) {
                step.closes.extend(all.filter(|slot| !own.contains(slot)));
            }
        }
        Ok(())
    }

    fn step(&mut self, item: &Item, slot: Option<usize>, parent: Option<usize>) -> Result<()> {
        self.step_named(item, item.label(), slot, parent)
    }

    /// A method, and what can follow it only.
    fn step_named(
        &mut self,
        item: &Item,
        label: Option<&str>,
        slot: Option<usize>,
        parent: Option<usize>,
    ) -> Result<()> {
        let parts = item.parts();
        let len = parts.iter().position(|part| !is_plain(part)).unwrap_or(parts.len());
        let (head, nested) = parts.split_at(len);
        let call = call(head)?;
        let name = match (label, head.first().map(Item::bare)) {
            (Some(label), _) => label.to_owned(),
            (None, Some(Item::Token(word))) => snake(word),
            _ => call
                .params
                .first()
                .ok_or_else(|| anyhow!("`{item}` begins with nothing"))?
                .name
                .clone(),
        };
        self.push(name, call, slot, parent);
        match slot {
            _ if nested.is_empty() => Ok(()),
            Some(slot) => self.nested(nested, slot),
            None => bail!("`{item}` repeats, and options of it would belong to all"),
        }
    }

    /// Options that are possible only when a slot is filled.
    fn nested(&mut self, items: &[Item], parent: usize) -> Result<()> {
        items.iter().try_for_each(|part| match part.bare() {
            Item::Optional(inner) => self.optional(inner, part.label(), Some(parent)),
            _ => bail!("`{part}` is not understood"),
        })
    }
}

fn is_count(item: &Item) -> bool {
    matches!(item.bare(), Item::Value { name, kind } if kind == "integer" && name.starts_with("num"))
}
