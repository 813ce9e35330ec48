import type { Edit, Mutation } from './model-schema.js';

/** What stands at a mark is replaced. */
const at = (mark: string, to: string): Edit => ({ mark, to });

/** A mutation of one function, at one mark or more. */
const broken = (functionName: string, name: string, ...edits: readonly Edit[]): Mutation => ({
  name: `${functionName}: ${name}`,
  edits,
});

const LATER = "clock_timestamp() + interval '1 microsecond'";
const IS_HELD = 'AND seen.expires_at > clock_timestamp() THEN';
const UPSERT_RELEASED = 'OR lock.released_at IS NOT NULL';
const TIMES_FROM_BEFORE_THE_WAIT = [
  at('begins-now', 'locked_at = excluded.locked_at,'),
  at('ends-after-ttl', 'expires_at = excluded.expires_at,'),
];
const NEVER = 'IF false THEN';

/** Each breaks one promise, and the model has to see it. */
export const FOUND_BY_THE_MODEL: readonly Mutation[] = [
  broken(
    'acquire',
    'the expiry is tested nowhere',
    at('first-look', 'AND false THEN'),
    at('second-look', ''),
    at('upsert', 'WHERE true'),
  ),
  broken('acquire', 'does not recognize its own lease', at('first-look', 'AND false THEN')),
  broken('acquire', 'a microsecond too late for the waiter', at('first-look', IS_HELD.replace('>', '>='))),
  broken(
    'acquire',
    'a microsecond too early for the holder',
    at('first-look', `AND seen.expires_at > ${LATER} THEN`),
    at('second-look', `seen.expires_at > ${LATER} OR`),
    at('upsert', `WHERE lock.expires_at <= ${LATER} ${UPSERT_RELEASED}`),
  ),
  broken(
    'acquire',
    'the upsert demands a lease that is over since a microsecond',
    at('upsert', `WHERE lock.expires_at < clock_timestamp() ${UPSERT_RELEASED}`),
  ),
  broken(
    'acquire',
    'a released lease counts until its end, also after a step back',
    at('released-is-over', 'IF true'),
  ),
  broken(
    'acquire',
    'the upsert knows nothing of a release',
    at('upsert', 'WHERE lock.expires_at <= clock_timestamp()'),
  ),
  broken('acquire', 'a lease that its waiter saw is not respected', at('respect', 'false) THEN')),
  broken('acquire', 'a used instance id is not refused', at('used-id', 'WHERE false)')),
  broken('acquire', 'its own released lease is acquired again', at('own-released', '')),
  broken('acquire', 'a takeover is not told', at('takeover-recorded', NEVER)),
  broken('acquire', 'a takeover of a released lease is told', at('takeover', 'IF true THEN')),
  broken(
    'acquire',
    'takes two tokens',
    at('new-token', `fencing_token = nextval('"migrate_lock".migration_lock_fencing_token_seq'),`),
  ),
  broken('acquire', 'counts tokens in the row', at('new-token', 'fencing_token = lock.fencing_token + 1,')),
  broken('acquire', 'keeps the token', at('new-token', 'fencing_token = lock.fencing_token,')),
  broken('acquire', 'keeps the secret of the one before', at('new-secret', '')),
  broken('acquire', 'keeps the release of the one before', at('not-released', '')),
  broken('acquire', 'keeps the beginning of the one before', at('begins-now', '')),
  broken(
    'acquire',
    'work that is done is done again',
    at('settled-before', 'settled := NULL;'),
    at('settled-locked', 'settled := NULL;'),
  ),

  broken('proves', 'any secret will do', at('secret-proves', '')),
  broken('proves', 'any role will do', at('role-proves', '')),
  broken('past', 'anybody was the holder', at('holder-acquired', "event = 'lock.acquired' OR true")),
  broken('past', "any secret was the holder's", at('holder-secret', '')),
  broken('past', 'any role was the holder', at('holder-role', '')),
  broken('past', 'a loss is told every time', at('lost-before', 'false,')),

  broken('release', 'any secret will do', at('release-unproven', 'ELSIF false THEN')),
  broken(
    'release',
    "anybody's lease",
    at('release-other', NEVER),
    at('release-unproven', 'ELSIF false THEN'),
  ),
  broken(
    'release',
    'a NULL secret proves what it cannot deny',
    at('release-needs', 'num_nulls(p_instance_id, p_by, p_orphans), p_orphans, p_seen);'),
    at('release-unproven', 'ELSIF NOT "migrate_lock".proves(lease, p_instance_id, secret) THEN'),
    at('proof-is-known', ')'),
  ),
  broken(
    'release',
    'a NULL secret is asked about',
    at('release-needs', 'num_nulls(p_instance_id, p_by, p_orphans), p_orphans, p_seen);'),
  ),
  broken('release', 'a second time', at('release-again', 'IF loss IS NOT NULL THEN')),
  broken('release', 'does not find its own earlier one', at('release-found', 'IF loss IS NULL THEN')),
  broken('release', 'is never late', at('late', "'late', false));")),
  broken('release', 'the end of the work is not stored', at('work-stored', NEVER)),
  broken('release', 'a loss is not in the chain', at('loss-recorded', 'NULL;')),
  broken('end_lease', 'a late release makes the lease longer', at('end-not-later', 'expires_at = p_moment,')),
  broken('end_lease', 'leaves the end where it was', at('end-not-later', 'expires_at = expires_at,')),
  broken(
    'end_lease',
    'fails when the clock stepped back',
    at('end-after-step-back', 'locked_at = locked_at'),
  ),
  broken('leave', 'keeps the lease', at('leave-unreleased', 'IF false')),
  broken(
    'leave',
    "gives anybody's lease back",
    at('leave-own', 'AND lease.instance_id = p_instance_id THEN'),
    at('release-unproven', 'ELSIF false THEN'),
  ),

  broken('extend', 'a released lease', at('extends-unreleased', '')),
  broken('extend', 'an expired lease', at('extends-unexpired', '')),
  broken('extend', 'any secret will do', at('extends-own', '')),
  broken(
    'extend',
    'shortens',
    at('extended-end', "SET expires_at = clock_timestamp() + p_ttl_ms * interval '1 millisecond'"),
  ),
  broken(
    'extend',
    'adds to the end',
    at('extended-end', "SET expires_at = held.expires_at + p_ttl_ms * interval '1 millisecond'"),
  ),

  broken('cleanup', 'clears a lease that still runs', at('clears-expired', '')),
  broken('cleanup', 'clears a released lease', at('clears-unreleased', '')),
  broken('is_held', 'an expired lease', at('held-unexpired', '')),
  broken('is_held', 'a released lease', at('held-unreleased', 'SELECT (true')),
  broken('is_held', 'another token', at('held-token', '')),
  broken('is_held', "somebody else's lease", at('held-by-instance', '')),
  broken('assert_held', 'for any role', at('asserts-own', 'AND false THEN')),
  broken(
    'status',
    'an expired lease reads as held',
    at('status-expired', "WHEN lease.expires_at <= clock_timestamp() THEN 'held'"),
  ),

  broken('forget_waiters', 'those who are gone stay', at('forgets-past', '')),
  broken('forget_waiters', 'those whom a clock left far ahead stay', at('forgets-ahead', '')),
  broken('forget_waiters', 'everybody is forgotten', at('forgets-past', 'OR true')),
  broken('forget_waiters', 'any secret will do', at('forgets-own', '')),
  broken('forget_waiters', 'any role will do', at('forgets-own-role', '')),
  broken('queue', 'an announcement is renewed without its secret', at('own-waiter', ';')),
  broken('queue', 'those who are gone count', at('waiter-counts', ';')),
  broken('queue', 'the one who asks does not count', at('caller-counts', '')),

  broken('settled_run', 'a failure counts for ever', at('failure-counts', 'true)')),
  broken('settled_run', 'a success is forgotten', at('success-counts', 'WHERE (')),
  broken('settled_run', 'any key will do', at('same-key', '')),
  broken('settled_run', 'any command will do', at('same-command', '')),

  broken(
    'store_end',
    'a failure clears the end',
    at('end-cleared', "IF p_recovered IS TRUE OR p_kind = 'clean' THEN"),
  ),
  broken(
    'store_end',
    'any end with exit code 0 clears it',
    at('end-cleared', 'IF p_recovered IS TRUE OR p_succeeded IS TRUE THEN'),
  ),
  broken(
    'store_end',
    'a recovery clears nothing',
    at('end-cleared', "IF p_kind = 'clean' AND p_succeeded IS TRUE THEN"),
  ),
  broken('store_end', 'a clean end is stored', at('end-stored', 'IF p_kind IS NOT NULL THEN')),
  broken('store_end', 'no end is stored', at('end-stored', NEVER)),
  broken('unclean_end', 'of any command', at('end-of-command', 'LIMIT 1')),
  broken('acquire', 'a takeover stores no end', at('takeover-unclean', '')),
  broken('cleanup', 'stores no end', at('cleanup-unclean', '')),
  broken('look', 'an expired lease left nothing', at('looked-unreleased', ')')),

  broken('watch', 'those who wait do not count', at('watched-waits', 'WHERE false')),
  broken('watch', 'the run does not count', at('watched-runs', NEVER)),
  broken('watch', 'whoever began keeps it waiting', at('watched-begun', 'IS NULL);')),
  broken('watch', 'an unclean end counts after a success', at('watched-ended', 'IS NULL')),
  broken('watch', 'unclean ends do not count', at('watched-ended', 'IS NOT TRUE AND false')),
  broken(
    'watch',
    'an unknown key is done',
    at('watched-done', 'done := failure.run_key IS NULL AND unclean IS NULL AND NOT awaited;'),
  ),
  broken('count_watchers', 'its own row stays', at('forgets-own-watcher', 'WHERE (false)')),
  broken('count_watchers', 'it never removes one', at('watchers-bounded', NEVER)),

  broken('record_refusal', 'every refusal is told', at('refusal-recorded', NEVER)),
  broken('record_refusal', 'no refusal is told', at('refusal-recorded', 'IF true THEN')),
  broken(
    'record_refusal',
    'the row is about the instance that was named',
    at('refusal-without-instance', 'VALUES (p_event, p_named_instance_id, p_details);'),
  ),
];

/** What only shows when another transaction is open at the same time. */
export const FOUND_BY_OVERLAPS: readonly Mutation[] = [
  broken('acquire', 'the upsert takes whatever is there', at('upsert', 'WHERE true')),
  broken('acquire', 'times from before the wait', at('first-row', NEVER), ...TIMES_FROM_BEFORE_THE_WAIT),
  broken('acquire', 'the times of the first row from before the wait', at('first-row', NEVER)),
  broken('acquire', 'queues on the row', at('row-skipped', 'FOR NO KEY UPDATE;')),
];

/** What only shows when another one acquires between two statements of one call (second-look.test.ts). */
export const FOUND_BETWEEN_LOOKS: readonly Mutation[] = [
  broken('acquire', 'the row is not looked at again once it is locked', at('second-look', '')),
];

/** What only shows when somebody else's lease comes and runs out between a look at a released one and its row. */
export const FOUND_BEFORE_THE_ROW: readonly Mutation[] = [
  broken('acquire', 'whatever lease has run out is taken', at('another-was-quicker', 'AND false THEN')),
];

/** What no run can tell from the product's own text, each with the reason. */
export const EQUIVALENT: readonly (Mutation & { reason: string })[] = [
  {
    ...broken(
      'acquire',
      'only the upsert takes its times from before the wait',
      ...TIMES_FROM_BEFORE_THE_WAIT,
    ),
    reason:
      'a row that is there is locked before the upsert, so it does not wait; and after a wait for the first row, ' +
      'the times are set once more',
  },
  {
    ...broken('extend', 'a lease that is not the row', at('extends-the-row', 'WHERE true')),
    reason: 'there is never another row',
  },
  {
    ...broken(
      'release',
      'an unknown proof counts as one',
      at('release-unproven', 'ELSIF NOT "migrate_lock".proves(lease, p_instance_id, secret) THEN'),
    ),
    reason: 'proves() is never unknown, and a NULL secret does not get there',
  },
  {
    ...broken('proves', 'may be unknown', at('proof-is-known', ')')),
    reason: 'who asks takes what is unknown for a no, and a NULL secret does not get there',
  },
];
