/**
 * PgBouncer (as of 1.18) has one SQLSTATE for whatever it says itself or passes on of a failed login to the server: 08P01.
 * What is meant stands in the message alone; this table gives it the code that the server would have used.
 */
const MEANINGS: readonly [RegExp, string][] = [
  [/unsupported startup parameter/i, '08P01'],
  [/authentication failed|no such user|role ".*" does not exist/i, '28P01'],
  [/no such database|database ".*" (does not exist|is disabled)/i, '3D000'],
  [/SSL required|not allowed|no pg_hba\.conf entry|not permitted to log in|permission denied/i, '28000'],
  [/max_client_conn|too many (clients|connections)|connection slots|resources exhaustion/i, '53300'],
  [/starting up|shutting down|recovery mode|not (yet )?accepting connections/i, '57P03'],
];
/** A connection failure: the server is away, its answer was too late, or it said so in another language. */
const ANYTHING_ELSE = '08006';

/** The SQLSTATE of what a pooler says. An error of the server's own with that code is not FATAL. */
export function codeOfPooler(message: string): string {
  return MEANINGS.find(([pattern]) => pattern.test(message))?.[1] ?? ANYTHING_ELSE;
}
