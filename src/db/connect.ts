import postgres from 'postgres';
import { codedError, openSocket, type Address } from './socket.js';
import { upgrade, type SslMode, type TlsMaterial } from './tls.js';

/** Where the database is, and who we are to it. */
export interface ConnectionTarget {
  hosts: readonly Address[];
  database: string;
  user: string;
  password: string | undefined;
  ssl: SslMode;
  tls: TlsMaterial;
  /** Passed on as libpq's `options`, for example what a hosted database needs to find the tenant. */
  options: string | undefined;
  /** The same for people, without the password. */
  describe: string;
}

/** One connection to the server, used by one call at a time and never reconnected. */
export interface Connection {
  readonly sql: postgres.Sql;
  /** False once the socket is closed, by whomever. */
  readonly isOpen: () => boolean;
  /** Ends it at once, whatever the peer does: a silent one would keep a graceful end waiting. */
  readonly destroy: () => void;
}

/** What our own sessions are called in pg_stat_activity. Never the tag of a child's sessions. */
const APPLICATION_NAME = 'migrate-lock';

/**
 * Settings that a role or database may bring, and under which a call of ours would fail or break the promise. Sent with
 * the start-up packet they win over ALTER ROLE and ALTER DATABASE. PgBouncer refuses them: see database.ts.
 */
const SESSION_SETTINGS = {
  default_transaction_isolation: 'read committed',
  default_transaction_read_only: 'off' as unknown as boolean, // postgres.js leaves out what is false
  statement_timeout: 15_000,
} as const;

interface ConnectOptions {
  withSettings: boolean;
  limitMs: number;
  onNotification?: () => void;
}

/**
 * Opens a connection. The socket (and TLS) is up when this resolves; the start-up follows with the first statement.
 * @throws what the network or TLS said; classify() knows the codes.
 */
export async function connect(
  target: ConnectionTarget,
  { withSettings, limitMs, onNotification }: ConnectOptions,
): Promise<Connection> {
  const endsAtMs = performance.now() + limitMs;
  const plain = await openSocket(target.hosts, limitMs);
  const socket = await upgrade(plain, target, Math.max(1, endsAtMs - performance.now()));
  let open = true;
  let handedOver = false;
  socket.once('close', () => (open = false));

  const options = {
    host: 'localhost',
    port: 5432,
    database: target.database,
    username: target.user,
    password: target.password ?? '',
    // Everything that postgres.js would otherwise take from an environment variable of the same name.
    ssl: false,
    max: 1,
    idle_timeout: 0,
    max_lifetime: 0,
    connect_timeout: Math.max(1, Math.ceil(limitMs / 1000)),
    prepare: true, // only where a call asks for it: named statements break behind a pooler
    debug: false, // else an error would carry the parameters, the secret among them
    fetch_types: false,
    onnotice: () => undefined, // its default prints to stdout
    ...(onNotification === undefined ? {} : { onnotify: onNotification }),
    connection: {
      application_name: APPLICATION_NAME,
      ...(target.options === undefined ? {} : { options: target.options }),
      ...(withSettings ? SESSION_SETTINGS : {}),
    },
    socket: () => {
      if (handedOver) throw codedError('CONNECTION_CLOSED', 'the connection to the database was lost');
      handedOver = true;
      return socket;
    },
  };
  const destroy = (): void => {
    open = false;
    socket.destroy();
  };
  return { sql: postgres(options), isOpen: () => open, destroy };
}
