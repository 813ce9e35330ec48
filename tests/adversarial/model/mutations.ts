import type { Edit, Mutation } from './model-schema.js';

type Fragments = readonly [from: string, to: string];

const within = (functionName: string, ...edits: readonly Fragments[]): Edit[] =>
  edits.map(([from, to]) => ({ functionName, from, to }));

/** A mutation of one function, and of others with it. */
const broken = (
  functionName: string,
  name: string,
  edit: Fragments,
  ...others: readonly Edit[]
): Mutation => ({
  name: `${functionName}: ${name}`,
  edits: [...within(functionName, edit), ...others],
});

const EARLY_LOOK = 'seen.released_at IS NULL AND seen.expires_at > clock_timestamp() THEN';
const SECOND_LOOK = '(seen.expires_at > clock_timestamp() OR';
const UPSERT = 'WHERE lock.expires_at <= clock_timestamp() OR lock.released_at IS NOT NULL';
const A_MICROSECOND_TOO_EARLY = "> clock_timestamp() + interval '1 microsecond'";
const THE_SECRET_PROVES = 'AND lease.secret_sha256 = "migrate_lock".digest(p_secret)';
const IS_NOT_PROVEN = '"migrate_lock".proves(lease, p_instance_id, p_secret) IS NOT TRUE';
const UPSERT_TIMES = 'locked_at = clock_timestamp(), expires_at = clock_timestamp() + ttl, released_at';
const TIMES_FROM_BEFORE_THE_WAIT = within('acquire', [
  UPSERT_TIMES,
  'locked_at = excluded.locked_at, expires_at = excluded.expires_at, released_at',
]);
const MY_WAITER = 'AND db_role = session_user AND secret_sha256 = secret';
const FORGET_MINE = 'AND db_role = session_user AND secret_sha256 = "migrate_lock".digest(p_secret)';
const SETTLED_RUN = '"migrate_lock".settled_run(p_run_key, p_command_sha256, p_failure_memory_ms)';
const TOLD_A_SECOND_AGO = 'IF moment < recorded_at';

/** Each breaks one promise, and the model has to see it. */
export const FOUND_BY_THE_MODEL: readonly Mutation[] = [
  broken(
    'acquire',
    'the expiry is tested nowhere',
    [EARLY_LOOK, 'false THEN'],
    ...within('acquire', [SECOND_LOOK, '('], [UPSERT, 'WHERE true']),
  ),
  broken('acquire', 'does not recognize its own lease', [EARLY_LOOK, 'false THEN']),
  broken('acquire', 'a microsecond too late for the waiter', [EARLY_LOOK, EARLY_LOOK.replace('>', '>=')]),
  broken(
    'acquire',
    'a microsecond too early for the holder',
    [EARLY_LOOK, EARLY_LOOK.replace('> clock_timestamp()', A_MICROSECOND_TOO_EARLY)],
    ...within(
      'acquire',
      [SECOND_LOOK, SECOND_LOOK.replace('> clock_timestamp()', A_MICROSECOND_TOO_EARLY)],
      [UPSERT, UPSERT.replace('<= clock_timestamp()', A_MICROSECOND_TOO_EARLY.replace('>', '<='))],
    ),
  ),
  broken('acquire', 'the upsert demands a lease that is over since a microsecond', [
    UPSERT,
    UPSERT.replace('<=', '<'),
  ]),
  broken('acquire', 'a released lease counts until its end, also after a step back', [
    EARLY_LOOK,
    'seen.expires_at > clock_timestamp() THEN',
  ]),
  broken('acquire', 'the upsert knows nothing of a release', [
    UPSERT,
    'WHERE lock.expires_at <= clock_timestamp()',
  ]),
  broken('acquire', 'a lease that its waiter saw is not respected', [
    'seen.fencing_token = p_respect',
    'false',
  ]),
  broken('acquire', 'a used instance id is not refused', [
    'IF "migrate_lock".was_used(p_instance_id) AND',
    'IF false AND',
  ]),
  broken('acquire', 'its own released lease is acquired again', [
    'is_first OR seen.released_at IS NOT NULL OR',
    'is_first OR',
  ]),
  broken('acquire', 'a takeover is not told', ['IF takeover IS NOT NULL THEN', 'IF false THEN']),
  broken('acquire', 'a takeover of a released lease is told', [
    'IF seen.released_at IS NULL THEN takeover',
    'IF true THEN takeover',
  ]),
  broken('acquire', 'takes two tokens', [
    'excluded.fencing_token',
    `nextval('"migrate_lock".migration_lock_fencing_token_seq')`,
  ]),
  broken('acquire', 'counts tokens in the row', ['excluded.fencing_token', 'lock.fencing_token + 1']),
  broken('acquire', 'keeps the token', ['excluded.fencing_token', 'lock.fencing_token']),
  broken('acquire', 'keeps the secret of the one before', ['excluded.secret_sha256', 'lock.secret_sha256']),
  broken('acquire', 'keeps the release of the one before', [
    'released_at = NULL',
    'released_at = lock.released_at',
  ]),
  broken('acquire', 'keeps the beginning of the one before', [
    UPSERT_TIMES,
    UPSERT_TIMES.replace('clock_timestamp(),', 'lock.locked_at,'),
  ]),
  broken(
    'acquire',
    'work that is done is done again',
    [`settled jsonb := ${SETTLED_RUN}`, 'settled jsonb'],
    ...within('acquire', [`settled := ${SETTLED_RUN}`, 'settled := NULL']),
  ),

  broken('proves', 'any secret will do', [THE_SECRET_PROVES, '']),
  broken('proves', 'any role will do', ['AND lease.db_role = session_user', '']),
  broken('was_holder', 'anybody was', ['SELECT EXISTS', 'SELECT true OR EXISTS']),
  broken('was_holder', 'any secret will do', ['AND secret_sha256 = "migrate_lock".digest(p_secret)', '']),
  broken('was_holder', 'any role will do', ['AND db_role = session_user', '']),

  broken('release', 'any secret will do', [`IF ${IS_NOT_PROVEN} THEN`, 'IF false THEN']),
  broken(
    'release',
    "anybody's lease",
    ['IF lease.instance_id IS DISTINCT FROM p_instance_id THEN', 'IF false THEN'],
    ...within('release', [`IF ${IS_NOT_PROVEN} THEN`, 'IF false THEN']),
  ),
  broken(
    'release',
    'a NULL secret proves what it cannot deny',
    ['num_nulls(p_instance_id, p_secret, ', 'num_nulls(p_instance_id, '],
    ...within('release', [
      `IF ${IS_NOT_PROVEN} THEN`,
      `IF NOT ${IS_NOT_PROVEN.replace(' IS NOT TRUE', '')} THEN`,
    ]),
    ...within('proves', ['IS TRUE', '']),
  ),
  broken('release', 'a NULL secret is asked about', [
    'num_nulls(p_instance_id, p_secret, ',
    'num_nulls(p_instance_id, ',
  ]),
  broken('release', 'a second time', ['IF lease.released_at IS NOT NULL THEN', 'IF false THEN']),
  broken('release', 'does not find its own earlier one', [
    'IF "migrate_lock".was_released(p_instance_id) THEN',
    'IF false THEN',
  ]),
  broken('release', 'is never late', ['lease.expires_at <= moment', 'false']),
  broken('release', 'the end of the work is not stored', [
    'IF lease.run_key IS NOT NULL AND',
    'IF false AND',
  ]),
  broken('end_lease', 'a late release makes the lease longer', ['least(expires_at, p_moment)', 'p_moment']),
  broken('end_lease', 'leaves the end where it was', ['least(expires_at, p_moment)', 'expires_at']),
  broken('end_lease', 'fails when the clock stepped back', [
    "least(locked_at, p_moment - interval '1 microsecond')",
    'locked_at',
  ]),
  broken('leave', 'keeps the lease', ['IF lease.released_at IS NULL AND', 'IF false AND']),
  broken(
    'leave',
    "gives anybody's lease back",
    ['"migrate_lock".proves(lease, p_instance_id, p_secret) IS TRUE', 'lease.instance_id = p_instance_id'],
    ...within('release', [`IF ${IS_NOT_PROVEN} THEN`, 'IF false THEN']),
  ),
  broken('was_lost', 'a loss is told every time', [
    "WHERE instance_id = p_instance_id AND event = 'lock.lost'",
    'WHERE false',
  ]),
  broken('record_loss', 'a loss is not in the chain', [
    `record_change('lock.lost', p_instance_id, p_fencing_token, p_details)`,
    `record('lock.lost', p_instance_id, p_details)`,
  ]),

  broken('extend', 'a released lease', ['AND held.released_at IS NULL', '']),
  broken('extend', 'an expired lease', ['AND held.expires_at > clock_timestamp()', '']),
  broken('extend', 'any secret will do', ['AND "migrate_lock".proves(held, p_instance_id, p_secret)', '']),
  broken('extend', 'shortens', ['greatest(held.expires_at, clock_timestamp()', '(clock_timestamp()']),
  broken('extend', 'adds to the end', [
    'greatest(held.expires_at, clock_timestamp() +',
    'greatest(held.expires_at, held.expires_at +',
  ]),

  broken('cleanup', 'clears a lease that still runs', ['AND expires_at <= clock_timestamp()', '']),
  broken('cleanup', 'clears a released lease', ['released_at IS NULL AND', '']),
  broken('is_held', 'an expired lease', ['AND lease.expires_at > clock_timestamp()', '']),
  broken('is_held', 'a released lease', ['AND lease.released_at IS NULL', '']),
  broken('is_held', 'another token', ['AND lease.fencing_token = p_fencing_token', '']),
  broken('is_held', "somebody else's lease", ['lease.instance_id = p_instance_id AND', '']),
  broken('assert_held', 'for any role', ['"migrate_lock".works_under(lease) IS NOT TRUE', 'false']),
  broken('status', 'an expired lease reads as held', ["THEN 'expired'", "THEN 'held'"]),

  broken('forget_waiters', 'those who are gone stay', ['OR counts_until <= clock_timestamp()', '']),
  broken('forget_waiters', 'those whom a clock left far ahead stay', [
    "OR counts_until > clock_timestamp() + interval '2 hours'",
    '',
  ]),
  broken('forget_waiters', 'everybody is forgotten', ['OR counts_until <= clock_timestamp()', 'OR true']),
  broken('forget_waiters', 'any secret will do', [FORGET_MINE, 'AND db_role = session_user']),
  broken('forget_waiters', 'any role will do', [
    FORGET_MINE,
    FORGET_MINE.replace('AND db_role = session_user', ''),
  ]),
  broken('queue', 'an announcement is renewed without its secret', [MY_WAITER, 'AND db_role = session_user']),
  broken('queue', 'those who are gone count', ['WHERE counts_until > moment AND', 'WHERE']),
  broken('queue', 'the one who asks does not count', ['waiting := waiting + 1;', '']),

  broken('settled_run', 'a failure counts for ever', ['AND (succeeded OR', 'AND (true OR']),
  broken('settled_run', 'a success is forgotten', ['AND (succeeded OR', 'AND (false OR']),
  broken('settled_run', 'any key will do', ['run_key = p_run_key AND', '']),
  broken('settled_run', 'any command will do', ['AND command_sha256 = p_command_sha256', '']),

  broken('record_refusal', 'every refusal is told', [TOLD_A_SECOND_AGO, 'IF false AND moment < recorded_at']),
  broken('record_refusal', 'no refusal is told', [TOLD_A_SECOND_AGO, 'IF true OR moment < recorded_at']),
  broken('record_refusal', 'the row is about the instance that was named', [
    '.record(p_event, NULL, p_details)',
    '.record(p_event, p_named_instance_id, p_details)',
  ]),
];

/** What only shows when another transaction is open at the same time. */
export const FOUND_BY_OVERLAPS: readonly Mutation[] = [
  broken('acquire', 'the upsert takes whatever is there', [UPSERT, 'WHERE true']),
  broken(
    'acquire',
    'times from before the wait',
    ['IF is_first THEN', 'IF false THEN'],
    ...TIMES_FROM_BEFORE_THE_WAIT,
  ),
  broken('acquire', 'the times of the first row from before the wait', ['IF is_first THEN', 'IF false THEN']),
  broken('acquire', 'queues on the row', ['FOR NO KEY UPDATE SKIP LOCKED', 'FOR NO KEY UPDATE']),
];

/** What only shows when another one acquires between two statements of one call (second-look.test.ts). */
export const FOUND_BETWEEN_LOOKS: readonly Mutation[] = [
  broken('acquire', 'the row is not looked at again once it is locked', [SECOND_LOOK, '(']),
];

/** What only shows when somebody else's lease comes and runs out between a look at a released one and its row. */
export const FOUND_BEFORE_THE_ROW: readonly Mutation[] = [
  broken('acquire', 'whatever lease has run out is taken', [
    'seen.fencing_token IS DISTINCT FROM expired_token',
    'false',
  ]),
];

/** What no run can tell from the product's own text, each with the reason. */
export const EQUIVALENT: readonly (Mutation & { reason: string })[] = [
  {
    name: 'acquire: only the upsert takes its times from before the wait',
    edits: TIMES_FROM_BEFORE_THE_WAIT,
    reason:
      'a row that is there is locked before the upsert, so it does not wait; and after a wait for the first row, ' +
      'the times are set once more',
  },
  {
    ...broken('extend', 'a lease that is not the row', ['WHERE held.id = 1', 'WHERE true']),
    reason: 'there is never another row',
  },
  {
    ...broken('release', 'an unknown proof counts as one', [
      IS_NOT_PROVEN,
      IS_NOT_PROVEN.replace(/^(.*) IS NOT TRUE$/, 'NOT $1'),
    ]),
    reason: 'proves() is never unknown, and a NULL secret does not get there',
  },
  {
    ...broken('proves', 'may be unknown', ['IS TRUE', '']),
    reason: 'who asks takes what is unknown for a no, and a NULL secret does not get there',
  },
];
