import type { ValueKind } from './unexpanded.js';

interface LibpqParameter {
  /** The environment variable for the same setting. */
  variable?: string;
  kind: ValueKind;
  /** Whether an empty value in a URL counts as none. For security settings it is an error. */
  mayBeEmpty?: boolean;
  /** Has no effect here, for any value: it is ignored without a notice. */
  passedOver?: boolean;
}

const name = (variable?: string): LibpqParameter => ({
  kind: 'name',
  ...(variable === undefined ? {} : { variable }),
});
const address = (variable: string): LibpqParameter => ({ kind: 'address', variable, mayBeEmpty: true });
const passedOver = (): LibpqParameter => ({ kind: 'text', mayBeEmpty: true, passedOver: true });

/**
 * The parameters of libpq 18: https://www.postgresql.org/docs/current/libpq-connect.html#LIBPQ-PARAMKEYWORDS and
 * https://www.postgresql.org/docs/current/libpq-envars.html. `database` and `ssl` are from other drivers, `sslaccept`
 * from Prisma, and `targetServerType` from pgJDBC; `requiressl` is an old one of libpq. Each is honoured, refused when
 * it asks for something that is not supported (see connection-demands.ts), or ignored.
 */
export const LIBPQ = new Map<string, LibpqParameter>(
  Object.entries({
    host: address('PGHOST'),
    hostaddr: address('PGHOSTADDR'),
    port: address('PGPORT'),
    dbname: { ...name('PGDATABASE'), mayBeEmpty: true },
    database: { ...name(), mayBeEmpty: true },
    user: { ...name('PGUSER'), mayBeEmpty: true },
    password: { kind: 'secret', variable: 'PGPASSWORD', mayBeEmpty: true },
    passfile: { ...name('PGPASSFILE'), mayBeEmpty: true },
    service: name('PGSERVICE'),
    servicefile: name('PGSERVICEFILE'),
    options: { kind: 'text', variable: 'PGOPTIONS', mayBeEmpty: true },
    connect_timeout: { ...name('PGCONNECT_TIMEOUT'), mayBeEmpty: true },
    target_session_attrs: name('PGTARGETSESSIONATTRS'),
    targetservertype: name(),
    load_balance_hosts: name('PGLOADBALANCEHOSTS'),
    replication: name(),
    sslmode: name('PGSSLMODE'),
    ssl: name(),
    sslaccept: name(),
    requiressl: name('PGREQUIRESSL'),
    sslnegotiation: name('PGSSLNEGOTIATION'),
    sslrootcert: name('PGSSLROOTCERT'),
    sslcert: name('PGSSLCERT'),
    sslkey: name('PGSSLKEY'),
    sslpassword: { kind: 'secret' },
    sslcertmode: name('PGSSLCERTMODE'),
    sslcrl: name('PGSSLCRL'),
    sslcrldir: name('PGSSLCRLDIR'),
    sslsni: name('PGSSLSNI'),
    ssl_min_protocol_version: name('PGSSLMINPROTOCOLVERSION'),
    ssl_max_protocol_version: name('PGSSLMAXPROTOCOLVERSION'),
    requirepeer: name('PGREQUIREPEER'),
    gssencmode: name('PGGSSENCMODE'),
    require_auth: name('PGREQUIREAUTH'),
    channel_binding: name('PGCHANNELBINDING'),
    min_protocol_version: name('PGMINPROTOCOLVERSION'),
    scram_client_key: { kind: 'secret' },
    scram_server_key: { kind: 'secret' },
    oauth_issuer: name(),
    oauth_client_id: name(),
    oauth_client_secret: { kind: 'secret' },
    oauth_scope: name(),
    // GSSAPI is not supported, so nothing uses these; a TLS session's keys are not written to any file.
    krbsrvname: passedOver(),
    gsslib: passedOver(),
    gssdelegation: passedOver(),
    sslkeylogfile: passedOver(),
    sslcompression: passedOver(),
    max_protocol_version: passedOver(),
    // Each call has a time limit of its own.
    keepalives: passedOver(),
    keepalives_idle: passedOver(),
    keepalives_interval: passedOver(),
    keepalives_count: passedOver(),
    tcp_user_timeout: passedOver(),
    application_name: passedOver(),
    fallback_application_name: passedOver(),
    client_encoding: passedOver(),
  } satisfies Record<string, LibpqParameter>),
);

/** As libpq writes it, where another driver writes the same in another case: `sslMode`, `sslRootCert`. */
export function canonical(parameter: string): string {
  const lower = parameter.toLowerCase();
  return LIBPQ.has(lower) ? lower : parameter;
}
