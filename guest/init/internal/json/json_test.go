package json

import (
	standard "encoding/json"
	"math"
	"reflect"
	"strings"
	"testing"
)

var documents = []string{
	`{}`, `[]`, `null`, `true`, ` false `, `0`, `-0.5e+3`, `1e2`, `"a"`, `{"a":[1,{"b":null}],"c":"\u00e9\n\"\\\/"}`,
	`"\ud83d\ude00"`, `"\ud83d"`, `"\ud83dx"`, `"\ud83d\u0041"`, `[[[[[]]]]]`, "\t[\n1 ,\r2 ]", `{"":""}`,
	``, ` `, `{`, `{"a"}`, `{"a":}`, `{"a":1,}`, `[1,]`, `[1 2]`, `01`, `1.`, `.5`, `-`, `+1`, `1e`, `"`, `"\`, `"\u12`, `"\x"`, `"\u12g4"`,
	"\"\x01\"", "\"\n\"", `nul`, `truefalse`, `{}x`, `1 2`, `{a:1}`, `{1:1}`, `'a'`, `NaN`, `1e999`, `"` + "\xff" + `"`,
}

// agrees compares Parse with the standard library's.
func agrees(t *testing.T, text string) {
	t.Helper()
	var expected any
	problem := standard.Unmarshal([]byte(text), &expected)
	value, err := Parse([]byte(text))
	if err != nil {
		// what is stricter here: names that are there twice, depth, texts that are not UTF-8
		stricter := strings.Contains(err.Error(), "twice") || strings.Contains(err.Error(), "deep") ||
			strings.Contains(err.Error(), "UTF-8")
		if problem == nil && !stricter {
			t.Errorf("%q: %v", text, err)
		}
		return
	}
	if problem != nil {
		t.Errorf("%q: read as %v; encoding/json says %v", text, value, problem)
	} else if !reflect.DeepEqual(value, expected) {
		t.Errorf("%q: read as %#v instead of %#v", text, value, expected)
	}
}

func TestParseAgreesWithTheStandardLibrary(t *testing.T) {
	for _, text := range documents {
		agrees(t, text)
	}
}

func FuzzParse(f *testing.F) {
	for _, text := range documents {
		f.Add(text)
	}
	f.Fuzz(agrees)
}

func TestParseRefuses(t *testing.T) {
	cases := map[string]string{
		`{"a":1,"a":2}`:            "twice",
		strings.Repeat("[", 100):   "nested too deeply",
		`{"a":1}}`:                 "after the end",
		`[1,2`:                     "ends too early",
		strings.Repeat("[", 1<<20): "nested too deeply",
	}
	for text, expected := range cases {
		if _, err := Parse([]byte(text)); err == nil || !strings.Contains(err.Error(), expected) {
			t.Errorf("%.20q: %v", text, err)
		}
	}
}

func TestEncode(t *testing.T) {
	number, big, real := 5, int64(1)<<53, 0.25
	value := Object{
		"text", "é\"\\\n\x01\x1f\u2028\xff", "yes", true, "null", nil, "int", number, "float", 1.5, "pointers",
		[]any{&number, &big, &real, (*int)(nil), (*int64)(nil), (*float64)(nil)}, "texts", []string{"a", "b"},
		"none", []string(nil), "object", Object{}, "wrong", struct{}{},
	}
	text := Encode(value)
	var decoded map[string]any
	if err := standard.Unmarshal(text, &decoded); err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	expected := map[string]any{
		"text": "é\"\\\n\x01\x1f\u2028\ufffd", "yes": true, "null": nil, "int": 5.0, "float": 1.5,
		"pointers": []any{5.0, float64(big), 0.25, nil, nil, nil}, "texts": []any{"a", "b"}, "none": []any{},
		"object": map[string]any{}, "wrong": nil,
	}
	if !reflect.DeepEqual(decoded, expected) {
		t.Errorf("%s\nis %v\ninstead of %v", text, decoded, expected)
	}
	if !strings.HasPrefix(string(text), `{"text":`) {
		t.Error("the order of the members changed")
	}
}

func TestFieldsRead(t *testing.T) {
	document, top, err := Open([]byte(`{"a":{"b":[{"c":"x"},{"c":"y"}]},"n":7,"f":0.5,"yes":true,"t":["1","2"],"nothing":null}`))
	if err != nil {
		t.Fatal(err)
	}
	items := top.Get("a").Get("b").Items()
	if len(items) != 2 || items[1].Get("c").Text() != "y" {
		t.Error("nested values")
	}
	if top.Get("n").Int(0, 10) != 7 || top.Get("f").Number() != 0.5 || !top.Get("yes").Bool() {
		t.Error("simple values")
	}
	if !reflect.DeepEqual(top.Get("t").Texts(), []string{"1", "2"}) || len(top.Get("a").Members()) != 1 {
		t.Error("lists")
	}
	absent := top.Get("nothing").Get("at").Get("all")
	if absent.Present() || absent.Text() != "" || absent.Int(1, 2) != 0 || absent.Items() == nil || absent.Texts() != nil {
		t.Error("absent values are zero values")
	}
	if document.Err != nil {
		t.Error(document.Err)
	}
}

func TestFieldsNameTheFirstWrongPlace(t *testing.T) {
	cases := []struct {
		text string
		read func(Field)
		says string
	}{
		{`{"a":[{"b":1}]}`, func(f Field) { f.Get("a").Items()[0].Get("b").Text() }, "a[0].b: a text is needed"},
		{`{"a":"x"}`, func(f Field) { f.Get("a").Int(0, 9) }, "a: a number is needed"},
		{`{"a":1.5}`, func(f Field) { f.Get("a").Int(0, 9) }, "a: a whole number from 0 to 9 is needed"},
		{`{"a":10}`, func(f Field) { f.Get("a").Int(0, 9) }, "a: a whole number"},
		{`{"a":1}`, func(f Field) { f.Get("a").Bool(); f.Get("a").Text() }, "a: true or false is needed"},
		{`{"a":[null]}`, func(f Field) { f.Get("a").Texts() }, "a[0]: a text is needed"},
		{`{"a":{}}`, func(f Field) { f.Get("a").Items() }, "a: an array is needed"},
		{`[]`, func(f Field) { f.Get("a") }, "the document: an object is needed"},
	}
	for _, each := range cases {
		document, top, err := Open([]byte(each.text))
		if err != nil {
			t.Fatal(err)
		}
		each.read(top)
		if document.Err == nil || !strings.HasPrefix(document.Err.Error(), each.says) {
			t.Errorf("%s: %v instead of %s", each.text, document.Err, each.says)
		}
	}
	if f := (Field{&Document{}, "", math.Inf(1)}); f.Int(0, 5) != 0 || f.document.Err == nil {
		t.Error("infinity is no whole number")
	}
}
