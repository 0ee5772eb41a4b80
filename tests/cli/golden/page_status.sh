spawn queue status i-0123456789abcdef0
spawn queue status i-1234567890 --json
spawn queue status i-1234567890 --watch
spawn queue status i-1234567890 --watch --refresh 5s
