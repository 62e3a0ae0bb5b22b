package json

import (
	"strconv"
	"unicode/utf8"
)

// Object is written with its members in this order: name, value, name, value.
type Object []any

// Encode writes a value: nil, bool, int, int64, float64 (finite), string, Object, []any, []string, and pointers to int,
// int64 and float64 (nil: null). Anything else is a mistake of the caller and becomes null.
func Encode(value any) []byte { return appendValue(nil, value) }

func appendValue(data []byte, value any) []byte {
	switch value := value.(type) {
	case bool:
		return strconv.AppendBool(data, value)
	case int:
		return strconv.AppendInt(data, int64(value), 10)
	case int64:
		return strconv.AppendInt(data, value, 10)
	case float64:
		return strconv.AppendFloat(data, value, 'f', -1, 64)
	case string:
		return appendString(data, value)
	case *int:
		return appendPointer(data, value)
	case *int64:
		return appendPointer(data, value)
	case *float64:
		return appendPointer(data, value)
	case Object:
		return appendObject(data, value)
	case []any:
		return appendArray(data, value)
	case []string:
		return appendArray(data, value)
	}
	return append(data, "null"...)
}

func appendPointer[T any](data []byte, pointer *T) []byte {
	if pointer == nil {
		return append(data, "null"...)
	}
	return appendValue(data, *pointer)
}

func appendObject(data []byte, object Object) []byte {
	data = append(data, '{')
	for i, each := range object {
		if i%2 == 1 {
			data = append(data, ':')
		} else if i > 0 {
			data = append(data, ',')
		}
		data = appendValue(data, each)
	}
	return append(data, '}')
}

func appendArray[T any](data []byte, items []T) []byte {
	data = append(data, '[')
	for i, item := range items {
		if i > 0 {
			data = append(data, ',')
		}
		data = appendValue(data, item)
	}
	return append(data, ']')
}

// appendString escapes what must be; what is not UTF-8 becomes U+FFFD.
func appendString(data []byte, text string) []byte {
	data = append(data, '"')
	for _, r := range text {
		switch {
		case r == '"' || r == '\\':
			data = append(data, '\\', byte(r))
		case r == '\n':
			data = append(data, `\n`...)
		case r < ' ':
			const digits = "0123456789abcdef"
			data = append(data, `\u00`...)
			data = append(data, digits[r>>4], digits[r&15])
		default:
			data = utf8.AppendRune(data, r)
		}
	}
	return append(data, '"')
}
