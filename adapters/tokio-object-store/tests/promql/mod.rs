//! Enough of PromQL to tell which series a query asks for, and by which labels.

/// What a query asks for.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Query {
    pub(crate) selectors: Vec<Selector>,
    /// Labels that it sums by.
    pub(crate) grouped_by: Vec<String>,
}

/// One name in a query.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Selector {
    pub(crate) name: String,
    /// Labels that must be something.
    pub(crate) labels: Vec<String>,
    /// Whether a range of time is looked at.
    pub(crate) is_range: bool,
    /// The functions around it, the innermost first.
    pub(crate) within: Vec<String>,
}

const FUNCTIONS: [&str; 6] = ["sum", "max", "avg", "rate", "increase", "histogram_quantile"];

#[derive(Clone, Debug, PartialEq, Eq)]
enum Token {
    Word(String),
    Text,
    Number,
    Sign(char),
    Matches,
}

/// Reads a query, or says what is wrong with it.
pub(crate) fn read(text: &str) -> Result<Query, String> {
    let mut reader = Reader { tokens: tokens(text)?, at: 0, query: Query::default() };
    reader.expression(&[])?;
    match reader.tokens.get(reader.at) {
        None => Ok(reader.query),
        Some(token) => Err(format!("{token:?} is too much, in {text}")),
    }
}

fn tokens(text: &str) -> Result<Vec<Token>, String> {
    let mut tokens = Vec::new();
    let mut rest = text.chars().peekable();
    while let Some(first) = rest.next() {
        let mut while_is = |is: fn(char) -> bool| {
            let mut word = String::new();
            while let Some(next) = rest.next_if(|next| is(*next)) {
                word.push(next);
            }
            word
        };
        tokens.push(match first {
            ' ' => continue,
            'a'..='z' | 'A'..='Z' | '_' | ':' | '$' => {
                let is_word = |it: char| it.is_ascii_alphanumeric() || it == '_' || it == ':';
                Token::Word(format!("{first}{}", while_is(is_word)))
            }
            '0'..='9' => {
                let _digits = while_is(|it| it.is_ascii_digit() || it == '.');
                Token::Number
            }
            '"' => {
                let _text = while_is(|it| it != '"');
                rest.next().ok_or("a text does not end")?;
                Token::Text
            }
            '=' => {
                let _tilde = rest.next_if_eq(&'~');
                Token::Matches
            }
            '(' | ')' | '{' | '}' | '[' | ']' | ',' | '+' | '-' | '*' | '/' => Token::Sign(first),
            _ => return Err(format!("{first:?} is no part of a query: {text}")),
        });
    }
    Ok(tokens)
}

struct Reader {
    tokens: Vec<Token>,
    at: usize,
    query: Query,
}

impl Reader {
    fn next(&mut self) -> Option<Token> {
        self.at += 1;
        self.tokens.get(self.at - 1).cloned()
    }

    fn take(&mut self, sign: char) -> bool {
        let is_it = self.tokens.get(self.at) == Some(&Token::Sign(sign));
        self.at += usize::from(is_it);
        is_it
    }

    fn expect(&mut self, sign: char) -> Result<(), String> {
        if self.take(sign) { Ok(()) } else { Err(format!("{sign} is missing at {}", self.at)) }
    }

    /// Operands with operators between them.
    fn expression(&mut self, within: &[String]) -> Result<(), String> {
        loop {
            self.operand(within)?;
            if !['+', '-', '*', '/'].into_iter().any(|sign| self.take(sign)) {
                return Ok(());
            }
        }
    }

    fn operand(&mut self, within: &[String]) -> Result<(), String> {
        match self.next() {
            Some(Token::Number) => Ok(()),
            Some(Token::Sign('(')) => {
                self.expression(within)?;
                self.expect(')')
            }
            Some(Token::Word(word)) if FUNCTIONS.contains(&&*word) => self.call(word, within),
            Some(Token::Word(name)) => self.selector(name, within),
            other => Err(format!("{other:?} is no operand")),
        }
    }

    fn call(&mut self, function: String, within: &[String]) -> Result<(), String> {
        if self.tokens.get(self.at) == Some(&Token::Word("by".to_owned())) {
            self.at += 1;
            self.expect('(')?;
            let labels = self.labels(')', false)?;
            self.query.grouped_by.extend(labels);
        }
        let mut inner = vec![function];
        inner.extend_from_slice(within);
        self.expect('(')?;
        self.expression(&inner)?;
        while self.take(',') {
            self.expression(&inner)?;
        }
        self.expect(')')
    }

    fn selector(&mut self, name: String, within: &[String]) -> Result<(), String> {
        let labels = if self.take('{') { self.labels('}', true)? } else { Vec::new() };
        let is_range = self.take('[');
        if is_range {
            let Some(Token::Word(_)) = self.next() else { return Err("no range".to_owned()) };
            self.expect(']')?;
        }
        let within = within.to_vec();
        self.query.selectors.push(Selector { name, labels, is_range, within });
        Ok(())
    }

    fn labels(&mut self, end: char, with_values: bool) -> Result<Vec<String>, String> {
        let mut labels = Vec::new();
        loop {
            let Some(Token::Word(label)) = self.next() else { return Err("no label".to_owned()) };
            labels.push(label);
            let has_value = || (Some(Token::Matches), Some(Token::Text));
            if with_values && (self.next(), self.next()) != has_value() {
                return Err("a label has no value".to_owned());
            }
            if !self.take(',') {
                self.expect(end)?;
                return Ok(labels);
            }
        }
    }
}
