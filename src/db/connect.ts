import postgres from 'postgres';
import { errorCode, NOT_POSTGRESQL, TLS_REFUSED } from './classify.js';
import { connectToPrimary } from './primary.js';
import { ServerMessages, type Farewell } from './server-messages.js';
import { codedError, openSocket, type Address, type HostSocket } from './socket.js';
import { upgrade, type TlsWish } from './tls.js';

/** Where the database is, and who we are to it. */
export interface ConnectionTarget extends TlsWish {
  hosts: readonly Address[];
  database: string;
  user: string;
  password: string | undefined;
  /** Where the hosts' own passwords come from. */
  passwordFile?: { path: string; unusable: string | null };
  /** Passed on as libpq's `options`, for example what a hosted database needs to find the tenant. */
  options: string | undefined;
  /** Where these come from, for people. */
  optionsFrom?: string;
  /** The same for people, without the password. */
  describe: string;
}

/** One connection to the server, used by one call at a time and never reconnected. */
export interface Connection {
  readonly sql: postgres.Sql;
  /** False once the socket is closed, by whomever. */
  readonly isOpen: () => boolean;
  /** What the server, or a pooler, said when it ended the connection. */
  readonly farewell: () => Farewell | undefined;
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
  // Our sessions are short: to plan each of their statements anew five times takes longer than to run it.
  plan_cache_mode: 'force_generic_plan',
} as const;

interface ConnectOptions {
  withSettings: boolean;
  limitMs: number;
  onNotification?: () => void;
}

/**
 * Opens a connection. The socket (and TLS) is up when this resolves; with one host, the start-up follows with the first statement.
 * @throws what the network or TLS said; classify() knows the codes.
 */
export async function connect(target: ConnectionTarget, options: ConnectOptions): Promise<Connection> {
  const [only, ...others] = target.hosts;
  if (only === undefined) throw codedError('ENOTFOUND', 'no host is configured');
  if (others.length === 0) return connectTo(only, target, options);
  return connectToPrimary(target.hosts, options.limitMs, (address, limitMs) =>
    connectTo(address, target, { ...options, limitMs }),
  );
}

async function openSecured(address: Address, target: ConnectionTarget, limitMs: number): Promise<HostSocket> {
  const endsAtMs = performance.now() + limitMs;
  const leftMs = (): number => Math.max(1, endsAtMs - performance.now());
  const plain = await openSocket(address, limitMs);
  try {
    return await upgrade(plain, target, leftMs());
  } catch (error) {
    // As libpq: what is only preferred is done without when it fails.
    if (target.ssl !== 'prefer' || errorCode(error) !== TLS_REFUSED) throw error;
    return openSocket(address, leftMs());
  }
}

async function connectTo(
  address: Address,
  target: ConnectionTarget,
  { withSettings, limitMs, onNotification }: ConnectOptions,
): Promise<Connection> {
  const socket = await openSecured(address, target, limitMs);
  let open = true;
  let handedOver = false;
  let failure: Error | undefined;
  socket.once('close', () => (open = false));
  // Until the first statement nobody else listens, and an error that nobody hears ends the process.
  socket.once('error', (error) => (failure = error));

  const messages = new ServerMessages();
  socket.on('data', (chunk: Buffer) => {
    if (messages.read(chunk)) return;
    // postgres.js gets it too, and prints what it does not know: as the beginning of a long message it is waited for.
    chunk.fill(0x7f);
    socket.destroy(codedError(NOT_POSTGRESQL, 'what answers there does not speak its protocol'));
  });

  const options = {
    host: 'localhost',
    port: 5432,
    database: target.database,
    username: target.user,
    password: target.password ?? address.password ?? '',
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
      if (failure !== undefined && !handedOver) throw failure;
      if (handedOver || !open)
        throw codedError('CONNECTION_CLOSED', 'the connection to the database was lost');
      handedOver = true;
      return socket;
    },
  };
  const destroy = (): void => {
    open = false;
    socket.destroy();
  };
  return {
    sql: withoutTargetVariable(() => postgres(options)),
    isOpen: () => open,
    farewell: () => messages.farewell,
    destroy,
  };
}

/** postgres.js obeys PGTARGETSESSIONATTRS without an option to say otherwise, and fails on `any`. */
function withoutTargetVariable<T>(work: () => T): T {
  const { PGTARGETSESSIONATTRS: wanted } = process.env;
  if (wanted === undefined) return work();
  delete process.env.PGTARGETSESSIONATTRS;
  try {
    return work();
  } finally {
    process.env.PGTARGETSESSIONATTRS = wanted;
  }
}
