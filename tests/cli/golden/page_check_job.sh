# Get queue ID from status
QUEUE_ID=$(spawn queue status "$INSTANCE" --json | jq -r '.queue_id')

# Check job status
spawn queue status "$INSTANCE" --json | \
  jq '.job_details[] | select(.job_id == "train")'
