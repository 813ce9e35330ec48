/** A pooler breaks transactions: each call is one. */
export const STATEMENT_POOLING = 'STATEMENT_POOLING';

type Meanings = readonly [RegExp, string][];

/**
 * Poolers use one SQLSTATE for all their own errors; the meaning is in the message only, which is never translated.
 * These tables give it the code that the server would have used. The texts are those of PgBouncer 1.18 to 1.25
 * (src/client.c, objects.c, janitor.c, server.c), Odyssey 1.4 (sources/frontend.c), Supavisor 2 (lib/supavisor/errors)
 * and PgCat 1.2 (src/client.rs).
 */
const COMMON: Meanings = [
  [/not allowed in statement pooling mode/i, STATEMENT_POOLING],
  [/unsupported (options )?startup parameter/i, '08P01'],
  // PgBouncer passes on the server's answer to its login, with or without brackets.
  [/permission denied for database/i, '42501'],
  [
    /max_\w*client_conn|client connections exceeded|too many (active )?(clients|connections|client)/i,
    '53300',
  ],
  [/connection slots|resources exhaustion|max clients|pool_size/i, '53300'],
  [/authentication failed|no such user|role ".*" does not exist|password returned by client/i, '28P01'],
  [
    /no such database|database ".*" (does not exist|is disabled)|No pool configured|route for .* not found/i,
    '3D000',
  ],
  [/SSL required|TLS connection required|no pg_hba\.conf entry|not permitted to log in/i, '28000'],
  [/permission denied|not allowed|login rejected|PQexec disallowed|user blocked/i, '28000'],
  [/starting up|shutting down|recovery mode|not (yet )?accepting connections/i, '57P03'],
];

/** Supavisor writes a name of its own before the sentence: `(EMAXCONN) max clients reached in session mode`. */
const SUPAVISOR: Meanings = [
  [/\((EMAX\w*|ECHECKOUT\w*|EPOOLCHECKOUT)\)|^MaxClients|^Max client connections/i, '53300'],
  [/\((EWRONGPASSWORD)\)/, '28P01'],
  [/\((ENOTFOUND|ENOIDENTIFIER|EINVALIDUSERINFO|EMULTIPLEUSERS)\)|^Tenant or user not found/i, '28000'],
  [/\((ESSLREQUIRED|EADDRNOTALLOWED|EBANNED|EAUTHPROTOCOL|EAUTHSECRETS)\)/, '28000'],
  [/^\(E[A-Z]+\)/, '08006'],
];

const BY_CODE: Record<string, { meanings: Meanings; otherwise: string }> = {
  // A connection failure: the server is down, answered too late, or reported it in another language.
  '08P01': { meanings: COMMON, otherwise: '08006' }, // PgBouncer
  '08006': { meanings: COMMON, otherwise: '08006' }, // Odyssey
  '58000': { meanings: COMMON, otherwise: '08006' }, // PgCat
  XX000: { meanings: SUPAVISOR, otherwise: 'XX000' },
  // https://docs.aws.amazon.com/AmazonRDS/latest/UserGuide/rds-proxy.html: "RDS Proxy currently doesn't support command-line options"
  '0A000': { meanings: [[/RDS Proxy .*support/i, '08P01']], otherwise: '0A000' },
};

/**
 * The SQLSTATE for the message of a pooler that ends a connection. The server's own errors are not FATAL, or have
 * another code.
 */
export function codeOfPooler(code: string, message: string): string {
  const found = BY_CODE[code];
  if (found === undefined) return code;
  return found.meanings.find(([pattern]) => pattern.test(message))?.[1] ?? found.otherwise;
}
