//! What keys do. They are those of `nats-top`, and some more.

use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyModifiers};

use super::model::{Asked, Model, Prompt, Tab};
use super::rows::columns;

/// What a key asks for beside another picture.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Action {
    Nothing,
    /// Look at the server now.
    Refresh,
    Kick(u64),
    Quit,
}

/// The keys, for the help.
pub(super) const HELP: [(&str, &str); 16] = [
    ("1 2 3 4, Tab", "server, connections, streams, consumers"),
    ("Up Down PgUp PgDn", "select a row"),
    ("Enter", "show the row in full"),
    ("o", "sort by a column; the same one again turns the order round"),
    ("< >", "sort by the column to the left, to the right"),
    ("R", "turn the order round"),
    ("/", "show only rows with a text"),
    ("n", "most connections to ask for"),
    ("s", "subjects of subscriptions"),
    ("d", "names of hosts"),
    ("b", "bytes as they are"),
    ("k", "close the selected connection (system account)"),
    ("Space", "pause, and go on"),
    ("Esc", "leave a prompt, the details, the filter"),
    ("?", "this help"),
    ("q, Ctrl-C", "end"),
];

impl Model {
    /// Does what a key means.
    pub(super) fn key(&mut self, key: KeyEvent) -> Action {
        if key.modifiers.contains(KeyModifiers::CONTROL) {
            return match key.code {
                KeyCode::Char('c') => Action::Quit,
                _ => Action::Nothing,
            };
        }
        self.note = None;
        if let Some(prompt) = self.prompt.take() {
            return self.type_in(prompt, key.code);
        }
        if self.help && key.code != KeyCode::Null {
            self.help = false;
            return Action::Nothing;
        }
        match key.code {
            KeyCode::Char('q') => return Action::Quit,
            KeyCode::Char('?') => self.help = true,
            KeyCode::Char(digit @ '1'..='4') => {
                let at = digit as usize - '1' as usize;
                self.show(Tab::ALL[at]);
            }
            KeyCode::Tab => self.show(Tab::ALL[(self.tab.index() + 1) % 4]),
            KeyCode::BackTab => self.show(Tab::ALL[(self.tab.index() + 3) % 4]),
            KeyCode::Char(' ') => {
                self.paused = !self.paused;
                if !self.paused {
                    return Action::Refresh;
                }
            }
            KeyCode::Char('b') => self.raw_bytes = !self.raw_bytes,
            KeyCode::Char('d') => {
                self.lookup = !self.lookup;
                return Action::Refresh;
            }
            KeyCode::Char('s') => {
                self.subscriptions = !self.subscriptions;
                return Action::Refresh;
            }
            KeyCode::Char('R') => {
                let sort = &mut self.sorts[self.tab.index()];
                sort.down = !sort.down;
            }
            KeyCode::Char('<') => self.move_sort(-1),
            KeyCode::Char('>') => self.move_sort(1),
            KeyCode::Char('o') if !columns(self.tab).is_empty() => self.ask(Asked::Sort),
            KeyCode::Char('n') => self.ask(Asked::Limit),
            KeyCode::Char('/') => self.ask(Asked::Filter),
            KeyCode::Char('k') => match self.rows().get(self.selected).and_then(|row| row.cid) {
                Some(cid) => self.ask(Asked::Kick(cid)),
                None => self.note = Some("no connection is selected".to_owned()),
            },
            KeyCode::Enter => self.detail = !self.detail && !self.rows().is_empty(),
            KeyCode::Esc if self.detail => self.detail = false,
            KeyCode::Esc => self.filter.clear(),
            KeyCode::Up => self.select(-1),
            KeyCode::Down => self.select(1),
            KeyCode::PageUp => self.select(-10),
            KeyCode::PageDown => self.select(10),
            KeyCode::Home => self.selected = 0,
            KeyCode::End => self.selected = self.rows().len().saturating_sub(1),
            _ => {}
        }
        Action::Nothing
    }

    fn show(&mut self, tab: Tab) {
        (self.tab, self.selected, self.detail) = (tab, 0, false);
    }

    fn select(&mut self, by: isize) {
        let last = self.rows().len().saturating_sub(1);
        self.selected = self.selected.saturating_add_signed(by).min(last);
    }

    fn move_sort(&mut self, by: isize) {
        let columns = columns(self.tab);
        if !columns.is_empty() {
            let sort = &mut self.sorts[self.tab.index()];
            sort.column = sort.column.saturating_add_signed(by).min(columns.len() - 1);
        }
    }

    fn ask(&mut self, what: Asked) {
        let text = match what {
            Asked::Filter => self.filter.clone(),
            Asked::Sort | Asked::Limit | Asked::Kick(_) => String::new(),
        };
        self.prompt = Some(Prompt { what, text });
    }

    /// A key while something is typed.
    fn type_in(&mut self, mut prompt: Prompt, code: KeyCode) -> Action {
        if let Asked::Kick(cid) = prompt.what {
            return match code {
                KeyCode::Char('y' | 'Y') => Action::Kick(cid),
                KeyCode::Null => {
                    self.prompt = Some(prompt);
                    Action::Nothing
                }
                _ => Action::Nothing,
            };
        }
        match code {
            KeyCode::Esc => return Action::Nothing,
            KeyCode::Enter => return self.typed(&prompt),
            KeyCode::Backspace => drop(prompt.text.pop()),
            KeyCode::Char(c) => prompt.text.push(c),
            _ => {}
        }
        if prompt.what == Asked::Filter {
            // Seen as it is typed.
            (self.filter, self.selected) = (prompt.text.clone(), 0);
        }
        self.prompt = Some(prompt);
        Action::Nothing
    }

    fn typed(&mut self, prompt: &Prompt) -> Action {
        match prompt.what {
            Asked::Sort => {
                if let Err(failure) = self.sort_in(self.tab, &prompt.text) {
                    self.note = Some(format!("{}; {}", failure.message, failure.hint));
                }
            }
            Asked::Limit => match prompt.text.trim().parse::<usize>() {
                Ok(limit) if limit > 0 => {
                    self.limit = limit;
                    return Action::Refresh;
                }
                _ => self.note = Some(format!("`{}` is no number above zero", prompt.text)),
            },
            Asked::Filter => self.filter.clone_from(&prompt.text),
            Asked::Kick(_) => {}
        }
        Action::Nothing
    }
}
