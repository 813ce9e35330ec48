-- Whether a waiter could be notified of a release; undone at once.
LISTEN "migrate_lock";
UNLISTEN "migrate_lock"
