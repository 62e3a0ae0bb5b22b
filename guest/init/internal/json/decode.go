// Package json reads and writes the little JSON that init needs (RFC 8259). The standard library's package, with the
// reflection that it brings, would be a sixth of the program, in every image and in the memory of every system.
package json

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// maxDepth bounds the nesting of a document.
const maxDepth = 64

// Parse reads one document. A value is nil, bool, float64, string, []any or map[string]any.
func Parse(data []byte) (any, error) {
	p := &parser{text: string(data)}
	value, err := p.value(0)
	if err == nil {
		if p.space(); p.at < len(p.text) {
			err = errors.New("text after the end of the document")
		}
	}
	if err != nil {
		return nil, fmt.Errorf("not JSON at byte %d: %w", p.at, err)
	}
	return value, nil
}

type parser struct {
	text string
	at   int
}

var errEnd = errors.New("it ends too early")

func (p *parser) space() {
	for p.at < len(p.text) && strings.IndexByte(" \t\r\n", p.text[p.at]) >= 0 {
		p.at++
	}
}

// next skips white space and returns the character there.
func (p *parser) next() (byte, error) {
	if p.space(); p.at == len(p.text) {
		return 0, errEnd
	}
	return p.text[p.at], nil
}

// skip takes a character if it is the next one.
func (p *parser) skip(c byte) bool {
	next, err := p.next()
	if err != nil || next != c {
		return false
	}
	p.at++
	return true
}

func (p *parser) expect(c byte) error {
	next, err := p.next()
	if err == nil && next != c {
		err = fmt.Errorf("%q instead of %q", next, c)
	}
	if err == nil {
		p.at++
	}
	return err
}

func (p *parser) value(depth int) (any, error) {
	if depth > maxDepth {
		return nil, errors.New("it is nested too deeply")
	}
	c, err := p.next()
	if err != nil {
		return nil, err
	}
	switch {
	case c == '{':
		return p.object(depth)
	case c == '[':
		return p.array(depth)
	case c == '"':
		return p.string()
	case c == '-' || c >= '0' && c <= '9':
		return p.number()
	}
	for word, value := range map[string]any{"true": true, "false": false, "null": nil} {
		if strings.HasPrefix(p.text[p.at:], word) {
			p.at += len(word)
			return value, nil
		}
	}
	return nil, fmt.Errorf("%q begins no value", c)
}

func (p *parser) object(depth int) (any, error) {
	members := map[string]any{}
	p.at++
	if p.skip('}') {
		return members, nil
	}
	for {
		if c, err := p.next(); err != nil || c != '"' {
			return nil, errors.Join(err, errors.New("a name in quotes is needed"))
		}
		name, err := p.string()
		if err != nil {
			return nil, err
		}
		if _, twice := members[name]; twice {
			return nil, fmt.Errorf("the name %q is there twice", name)
		}
		if err := p.expect(':'); err != nil {
			return nil, err
		}
		if members[name], err = p.value(depth + 1); err != nil {
			return nil, err
		}
		if p.skip('}') {
			return members, nil
		}
		if err := p.expect(','); err != nil {
			return nil, err
		}
	}
}

func (p *parser) array(depth int) (any, error) {
	items := []any{}
	p.at++
	if p.skip(']') {
		return items, nil
	}
	for {
		item, err := p.value(depth + 1)
		if err != nil {
			return nil, err
		}
		items = append(items, item)
		if p.skip(']') {
			return items, nil
		}
		if err := p.expect(','); err != nil {
			return nil, err
		}
	}
}

func (p *parser) digits() int {
	start := p.at
	for p.at < len(p.text) && p.text[p.at] >= '0' && p.text[p.at] <= '9' {
		p.at++
	}
	return p.at - start
}

// among takes one of some characters if it is there.
func (p *parser) among(characters string) bool {
	if p.at < len(p.text) && strings.IndexByte(characters, p.text[p.at]) >= 0 {
		p.at++
		return true
	}
	return false
}

func (p *parser) number() (any, error) {
	bad := errors.New("a bad number")
	start := p.at
	p.among("-")
	zero := p.at < len(p.text) && p.text[p.at] == '0'
	if n := p.digits(); n == 0 || zero && n > 1 {
		return nil, bad
	}
	if p.among(".") && p.digits() == 0 {
		return nil, bad
	}
	if p.among("eE") {
		p.among("+-")
		if p.digits() == 0 {
			return nil, bad
		}
	}
	number, err := strconv.ParseFloat(p.text[start:p.at], 64)
	if err != nil {
		return nil, bad
	}
	return number, nil
}

func (p *parser) string() (string, error) {
	p.at++
	start := p.at
	var unescaped strings.Builder
	for p.at < len(p.text) {
		switch c := p.text[p.at]; {
		case c == '"':
			unescaped.WriteString(p.text[start:p.at])
			p.at++
			text := unescaped.String()
			if !utf8.ValidString(text) {
				return "", errors.New("a text is not UTF-8")
			}
			return text, nil
		case c < ' ':
			return "", errors.New("a control character in a text")
		case c == '\\':
			unescaped.WriteString(p.text[start:p.at])
			p.at++
			r, err := p.escape()
			if err != nil {
				return "", err
			}
			unescaped.WriteRune(r)
			start = p.at
		default:
			p.at++
		}
	}
	return "", errEnd
}

const (
	escapes  = `"\/bfnrt`
	escaped  = "\"\\/\b\f\n\r\t"
	hexWidth = 4
)

// escape reads what follows a backslash.
func (p *parser) escape() (rune, error) {
	if p.at == len(p.text) {
		return 0, errEnd
	}
	c := p.text[p.at]
	p.at++
	if i := strings.IndexByte(escapes, c); i >= 0 {
		return rune(escaped[i]), nil
	}
	if c != 'u' {
		return 0, fmt.Errorf(`\%c is no escape`, c)
	}
	first, err := p.hex()
	if err != nil || !utf16.IsSurrogate(first) {
		return first, err
	}
	// half a pair alone stands for nothing: U+FFFD
	before := p.at
	if strings.HasPrefix(p.text[p.at:], `\u`) {
		p.at += 2
		if second, err := p.hex(); err == nil {
			if r := utf16.DecodeRune(first, second); r != utf8.RuneError {
				return r, nil
			}
		}
		p.at = before
	}
	return utf8.RuneError, nil
}

func (p *parser) hex() (rune, error) {
	if p.at+hexWidth > len(p.text) {
		return 0, errEnd
	}
	code, err := strconv.ParseUint(p.text[p.at:p.at+hexWidth], 16, 16)
	if err != nil {
		return 0, errors.New(`\u without four hexadecimal digits`)
	}
	p.at += hexWidth
	return rune(code), nil
}
