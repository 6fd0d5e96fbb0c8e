"""Who may ask and how much: keys, rates, the work queue, the request log, the counts. Nothing of pictures."""
