import { reachedLimit } from '../system/limits.js';
import {
  ABSENT_SCHEMA,
  AUTHENTICATION_REFUSED,
  errorCode,
  NO_PASSWORD,
  NO_PRIMARY,
  NO_ROOT_CERTIFICATE,
  NOT_POSTGRESQL,
  OPTIONS_REFUSED,
  PROTOCOL_VIOLATION,
  TLS_REFUSED,
  TLS_UNTRUSTED,
} from './classify.js';
import { STATEMENT_POOLING } from './pooler-errors.js';

/** The next step for an error of the lock's own functions. */
export function hintOf(error: unknown): string {
  return error instanceof Object && 'hint' in error && typeof error.hint === 'string' ? error.hint : '';
}

export function unreachableHint(error: unknown): string {
  const longer = '`run` and `wait` try again until --wait-timeout ends.';
  switch (errorCode(error)) {
    case 'EMFILE':
    case 'ENFILE':
      return reachedLimit(error) ?? longer;
    case '53300':
      return `All its connections are in use. ${longer}`;
    case NO_PRIMARY:
      return `A lock can only be taken on the primary: check that the hosts name it. ${longer}`;
    case 'ENOTFOUND':
    case 'EAI_AGAIN':
      return `The host name could not be resolved: check it. ${longer}`;
    case '08006':
      return `A pooler answers so when it has lost the server: see its log. ${longer}`;
    default:
      return `Check that it is running and that the host and port are right. ${longer}`;
  }
}

/** `init` creates or upgrades a schema. It does not repair one. */
export function absentHint(code: string): string {
  return code === ABSENT_SCHEMA
    ? 'Create it with `migrate-lock init`. A migration must not drop it.'
    : 'If it is of an older version, `migrate-lock init` upgrades it. Otherwise a part of it was dropped: restore it from a backup, ' +
        'or drop the whole schema while nothing runs under the lock. The next run creates it again, without its history.';
}

export const LOCAL_HINT =
  'A host that begins with / is the folder of a Unix socket: check that it is one, and that this user may search it.';

/** `atStart`: the server refused the connection itself. */
export function deniedHint(error: unknown, atStart: boolean, schema: string): string {
  if (atStart)
    return 'A database administrator lets the role in: GRANT CONNECT ON DATABASE its_name TO the_role;';
  const owner = schemaOwnerOf(error);
  const askOwner =
    owner === undefined
      ? `The lock schema "${schema}" has to be there: its owner runs`
      : `Ask the owner of the lock schema "${schema}", the role ${owner}, to run`;
  return (
    `${askOwner} \`migrate-lock init\` once, with --grant-to and this role. ` +
    'That lets the role use the lock; unlock, cleanup --keep and init itself stay with the owner alone.'
  );
}

function schemaOwnerOf(error: unknown): string | undefined {
  return error instanceof Object && 'schemaOwner' in error && typeof error.schemaOwner === 'string'
    ? error.schemaOwner
    : undefined;
}

export function refusedHint(error: unknown): string {
  const code = errorCode(error);
  if (code.startsWith('ERR_SSL_'))
    return 'Check sslcert and sslkey: the server does not accept this certificate.';
  switch (code) {
    case '28P01':
      return 'Check the user and the password (in a URL, special characters must be percent-encoded).';
    case NO_PASSWORD:
      return 'Give it in the URL, in the service, in PGPASSWORD, or in the password file (PGPASSFILE, or ~/.pgpass).';
    case '3D000':
      return 'Create it first: the lock is kept in the database that is migrated, so the migration cannot be what creates it.';
    case TLS_REFUSED:
      return 'Check sslmode: require and the verify modes need TLS. Use sslmode=disable only on a network that no other party can use.';
    case NO_ROOT_CERTIFICATE:
      return "Name the certificate of the server's authority with sslrootcert (a PEM file), or write sslmode=verify-full, which takes Node's own authorities too.";
    case TLS_UNTRUSTED:
      return untrustedHint(error);
    case AUTHENTICATION_REFUSED:
      return "Check the address, channel_binding and require_auth, and how the server's pg_hba.conf authenticates this user.";
    case PROTOCOL_VIOLATION:
      return 'Check the address: is it that of a PostgreSQL server?';
    case NOT_POSTGRESQL:
      return 'Check the host and the port: something else listens there. The usual port is 5432.';
    case OPTIONS_REFUSED:
      return 'Unset them for migrate-lock, or have the pooler ignore them (PgBouncer: ignore_startup_parameters = options).';
    case STATEMENT_POOLING:
      return "Pool transactions or sessions (PgBouncer: pool_mode = transaction), or give the server's own address.";
    default:
      return "Check the user, the database's name and the server's pg_hba.conf.";
  }
}

/** Why a certificate is not accepted: https://nodejs.org/api/tls.html#x509-certificate-error-codes */
function untrustedHint(error: unknown): string {
  const cause = error instanceof Error ? errorCode(error.cause) : '';
  switch (cause) {
    case 'ERR_TLS_CERT_ALTNAME_INVALID':
    case 'HOSTNAME_MISMATCH':
      return 'Connect by a name that the certificate bears (with hostaddr, to another address), or have it issued for this one.';
    case 'CERT_HAS_EXPIRED':
    case 'CERT_NOT_YET_VALID':
      return "Renew the server's certificate, and check the clocks.";
    case 'CERT_REVOKED':
      return "The server's certificate was revoked: it needs another one.";
    case 'UNABLE_TO_GET_CRL':
    case 'CRL_HAS_EXPIRED':
      return 'The file that sslcrl names needs a valid list of each authority.';
    default:
      return "Name the certificate of the server's authority with sslrootcert (a PEM file), or in NODE_EXTRA_CA_CERTS.";
  }
}
