package json

import (
	"fmt"
	"math"
	"strconv"
)

// Document is a parsed text that is read field by field. The first thing that is not as it must be is kept as Err, and
// names its place.
type Document struct {
	Err error
}

// Field is a value somewhere in a document; one that is absent or null reads as the zero value of every kind.
type Field struct {
	document *Document
	path     string
	value    any
}

// Open parses a text and returns its outermost value.
func Open(data []byte) (*Document, Field, error) {
	value, err := Parse(data)
	document := &Document{}
	return document, Field{document, "", value}, err
}

// Fail records that the value is wrong.
func (f Field) Fail(format string, arguments ...any) {
	if f.document.Err == nil {
		path := f.path
		if path == "" {
			path = "the document"
		}
		f.document.Err = fmt.Errorf("%s: %s", path, fmt.Sprintf(format, arguments...))
	}
}

// Present tells whether there is a value.
func (f Field) Present() bool { return f.value != nil }

// as returns a value of one type, its zero value if absent.
func as[T any](f Field, kind string) T {
	value, ok := f.value.(T)
	if !ok && f.value != nil {
		f.Fail("%s is needed", kind)
	}
	return value
}

// Get returns a member of an object.
func (f Field) Get(name string) Field {
	path := name
	if f.path != "" {
		path = f.path + "." + name
	}
	return Field{f.document, path, as[map[string]any](f, "an object")[name]}
}

// Members returns the members of an object.
func (f Field) Members() map[string]Field {
	members := map[string]Field{}
	for name := range as[map[string]any](f, "an object") {
		members[name] = f.Get(name)
	}
	return members
}

// Items returns the items of an array.
func (f Field) Items() []Field {
	array := as[[]any](f, "an array")
	items := make([]Field, len(array))
	for i, value := range array {
		items[i] = Field{f.document, f.path + "[" + strconv.Itoa(i) + "]", value}
	}
	return items
}

// Text returns a string.
func (f Field) Text() string { return as[string](f, "a text") }

// Bool returns true or false.
func (f Field) Bool() bool { return as[bool](f, "true or false") }

// Number returns any number.
func (f Field) Number() float64 { return as[float64](f, "a number") }

// Int returns a whole number between limits.
func (f Field) Int(least, most int) int {
	number := f.Number()
	if number == 0 && !f.Present() {
		return 0
	}
	if number != math.Trunc(number) || number < float64(least) || number > float64(most) {
		f.Fail("a whole number from %d to %d is needed", least, most)
		return 0
	}
	return int(number)
}

// Texts returns an array of strings.
func (f Field) Texts() []string {
	var texts []string
	for _, item := range f.Items() {
		if !item.Present() {
			item.Fail("a text is needed")
		}
		texts = append(texts, item.Text())
	}
	return texts
}
