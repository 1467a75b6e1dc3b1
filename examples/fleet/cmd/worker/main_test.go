package main

import (
	"strings"
	"testing"
)

func TestAdd(t *testing.T) {
	if sum, err := add(strings.NewReader("1 2\n39\n")); sum != 42 || err != nil {
		t.Errorf("got %d, %v", sum, err)
	}
	if _, err := add(strings.NewReader("1 x")); err == nil {
		t.Error("x is no number")
	}
}
