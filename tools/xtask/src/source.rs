//! Rust source cut into words and signs, far enough to see what a file names.
//!
//! Comments, strings, characters and lifetimes are dropped, so a word found here is really in the code. This is no
//! parser: it never fails, and it is only asked about identifiers, paths and the nesting of inline modules.

/// An identifier, or one sign of punctuation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Token {
    /// The identifier, or a single character; `::` is one token.
    pub(crate) text: String,
    /// Counted from 1.
    pub(crate) line: usize,
}

/// Cuts `source` into tokens.
pub(crate) fn tokens(source: &str) -> Vec<Token> {
    let mut scanner = Scanner { characters: source.chars().collect(), position: 0, line: 1 };
    let mut found = Vec::new();
    while let Some(character) = scanner.peek(0) {
        let line = scanner.line;
        if let Some(text) = scanner.token(character) {
            found.push(Token { text, line });
        }
    }
    found
}

struct Scanner {
    characters: Vec<char>,
    position: usize,
    line: usize,
}

impl Scanner {
    fn peek(&self, ahead: usize) -> Option<char> {
        self.characters.get(self.position + ahead).copied()
    }

    fn advance(&mut self) {
        if self.peek(0) == Some('\n') {
            self.line += 1;
        }
        self.position += 1;
    }

    /// Takes one token, or skips one stretch that is none.
    fn token(&mut self, character: char) -> Option<String> {
        match (character, self.peek(1)) {
            ('/', Some('/')) => self.skip_line(),
            ('/', Some('*')) => self.skip_block_comment(),
            ('"', _) => self.skip_string(),
            ('\'', _) => self.skip_quote(),
            (':', Some(':')) => {
                self.advance();
                self.advance();
                return Some("::".to_owned());
            }
            _ if character.is_alphanumeric() || character == '_' => return self.word(),
            _ if character.is_whitespace() => self.advance(),
            _ => {
                self.advance();
                return Some(character.to_string());
            }
        }
        None
    }

    fn word(&mut self) -> Option<String> {
        let mut word = String::new();
        while let Some(character) = self.peek(0).filter(|c| c.is_alphanumeric() || *c == '_') {
            word.push(character);
            self.advance();
        }
        let raw = matches!(word.as_str(), "r" | "br" | "cr");
        if raw && self.raw_string_follows() {
            self.skip_raw_string();
            return None;
        }
        Some(word)
    }

    fn skip_line(&mut self) {
        while self.peek(0).is_some_and(|character| character != '\n') {
            self.advance();
        }
    }

    fn skip_block_comment(&mut self) {
        let mut depth = 0_usize;
        while let Some(character) = self.peek(0) {
            match (character, self.peek(1)) {
                ('/', Some('*')) => {
                    depth += 1;
                    self.advance();
                }
                ('*', Some('/')) => {
                    depth = depth.saturating_sub(1);
                    self.advance();
                }
                _ => {}
            }
            self.advance();
            if depth == 0 {
                return;
            }
        }
    }

    fn skip_string(&mut self) {
        self.advance();
        while let Some(character) = self.peek(0) {
            self.advance();
            if character == '\\' {
                self.advance();
            } else if character == '"' {
                return;
            }
        }
    }

    /// A character literal, or the tick of a lifetime.
    fn skip_quote(&mut self) {
        let escaped = self.peek(1) == Some('\\');
        if escaped {
            self.position += 3;
            while self.peek(0).is_some_and(|character| character != '\'') {
                self.advance();
            }
            self.advance();
        } else if self.peek(2) == Some('\'') {
            (0..3).for_each(|_| self.advance());
        } else {
            self.advance();
        }
    }

    fn raw_string_follows(&self) -> bool {
        let mut ahead = 0;
        while self.peek(ahead) == Some('#') {
            ahead += 1;
        }
        self.peek(ahead) == Some('"')
    }

    fn skip_raw_string(&mut self) {
        let mut hashes = 0;
        while self.peek(0) == Some('#') {
            hashes += 1;
            self.advance();
        }
        self.advance();
        while let Some(character) = self.peek(0) {
            self.advance();
            if character == '"' && (0..hashes).all(|ahead| self.peek(ahead) == Some('#')) {
                (0..hashes).for_each(|_| self.advance());
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(source: &str) -> Vec<String> {
        tokens(source).into_iter().map(|token| token.text).collect()
    }

    #[test]
    fn comments_strings_and_characters_are_dropped() {
        let source = "a // crate::x\n/* b /* c */ d */ \"e \\\" f\" 'g' '\\'' '\\u{41}' r#\"h \" i\"# j";
        assert_eq!(words(source), ["a", "j"]);
    }

    #[test]
    fn lifetimes_keep_their_name_and_break_nothing() {
        assert_eq!(words("&'a str<'static>"), ["&", "a", "str", "<", "static", ">"]);
    }

    #[test]
    fn lines_are_counted_through_what_is_dropped() {
        let found = tokens("/*\n\n*/ a\n\"\n\" b");
        assert_eq!(found.iter().map(|token| token.line).collect::<Vec<_>>(), [3, 5]);
    }
}
