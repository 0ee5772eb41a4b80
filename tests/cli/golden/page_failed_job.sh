# Check job logs
spawn queue status i-1234567890 --json | jq '.job_details[] | select(.status == "failed")'
