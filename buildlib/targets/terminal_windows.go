package targets

import (
	"os"

	"golang.org/x/sys/windows"
)

// terminalWidth returns the columns of the console that f is, or 0: also
// where the console doesn't take escape sequences.
func terminalWidth(f *os.File) int {
	h := windows.Handle(f.Fd())
	var mode uint32
	var info windows.ConsoleScreenBufferInfo
	if windows.GetConsoleMode(h, &mode) != nil || windows.GetConsoleScreenBufferInfo(h, &info) != nil {
		return 0
	}
	if windows.SetConsoleMode(h, mode|windows.ENABLE_VIRTUAL_TERMINAL_PROCESSING) != nil {
		return 0
	}
	return int(info.Window.Right-info.Window.Left) + 1
}
