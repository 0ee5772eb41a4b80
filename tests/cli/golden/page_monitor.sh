#!/bin/bash
INSTANCE_ID="i-0123456789abcdef0"

while true; do
    STATUS=$(spawn queue status "$INSTANCE_ID" --json)
    QUEUE_STATUS=$(echo "$STATUS" | jq -r '.status')

    if [[ "$QUEUE_STATUS" == "completed" ]]; then
        echo "Queue completed successfully!"
        QUEUE_ID=$(echo "$STATUS" | jq -r '.queue_id')
        spawn queue results "$QUEUE_ID"
        break
    elif [[ "$QUEUE_STATUS" == "failed" ]]; then
        echo "Queue failed!"
        FAILED_JOB=$(echo "$STATUS" | jq -r '.job_details[] | select(.status == "failed") | .job_id')
        echo "Failed job: $FAILED_JOB"
        exit 1
    fi

    COMPLETED=$(echo "$STATUS" | jq -r '.jobs.completed')
    TOTAL=$(echo "$STATUS" | jq -r '.jobs.total')
    echo "Progress: $COMPLETED / $TOTAL"

    sleep 30
done
