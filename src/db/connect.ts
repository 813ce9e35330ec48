import postgres from 'postgres';
import { errorCode, TLS_REFUSED } from './classify.js';
import type { Connection, ConnectionTarget } from './connection.js';
import { connectToPrimary } from './primary.js';
import { codedError, openSocket, type Address, type HostSocket } from './socket.js';
import { StartedSocket } from './started-socket.js';
import { startSession } from './startup.js';
import { upgrade } from './tls.js';

/** The application_name of the program's own sessions, which differs from that of a child's sessions. */
const APPLICATION_NAME = 'migrate-lock';

/**
 * Settings of a role or database under which a call would fail or break a guarantee. Sent with
 * the start-up packet they override ALTER ROLE and ALTER DATABASE. PgBouncer refuses them: see database.ts.
 */
const SESSION_SETTINGS = {
  // A database's own setting could put another schema's operators before PostgreSQL's.
  search_path: 'pg_catalog, pg_temp',
  default_transaction_isolation: 'read committed',
  default_transaction_read_only: 'off',
  statement_timeout: '15000',
  // The sessions are short: planning each of their statements five times takes longer than running it.
  plan_cache_mode: 'force_generic_plan',
} as const;

interface ConnectOptions {
  withSettings: boolean;
  limitMs: number;
  /** Ends the connection at once, also while it is being opened. */
  signal?: AbortSignal;
  onNotification?: () => void;
}

/**
 * Opens a connection: socket, TLS, authentication. The session is ready when this resolves.
 * @throws an error of the network, TLS or the server; classify() knows the codes.
 */
export async function connect(target: ConnectionTarget, options: ConnectOptions): Promise<Connection> {
  const [only, ...others] = target.hosts;
  if (only === undefined) throw codedError('ENOTFOUND', 'no host is configured');
  if (others.length === 0) return connectTo(only, target, options);
  return connectToPrimary(target.hosts, options.limitMs, (address, limitMs) =>
    connectTo(address, target, { ...options, limitMs }),
  );
}

async function openSecured(
  address: Address,
  target: ConnectionTarget,
  leftMs: () => number,
  signal: AbortSignal | undefined,
): Promise<HostSocket> {
  const plain = await openSocket(address, leftMs(), signal);
  try {
    return await upgrade(plain, target, leftMs());
  } catch (error) {
    // As libpq: what is only preferred is skipped when it fails.
    if (target.ssl !== 'prefer' || errorCode(error) !== TLS_REFUSED) throw error;
    return openSocket(address, leftMs(), signal);
  }
}

async function connectTo(
  address: Address,
  target: ConnectionTarget,
  { withSettings, limitMs, signal, onNotification }: ConnectOptions,
): Promise<Connection> {
  const endsAtMs = performance.now() + limitMs;
  const leftMs = (): number => Math.max(1, endsAtMs - performance.now());
  const socket = await openSecured(address, target, leftMs, signal);
  const request = {
    user: target.user,
    password: target.password ?? address.password,
    auth: target.auth,
    database: target.database,
    settings: {
      application_name: APPLICATION_NAME,
      options: target.options,
      ...(withSettings ? SESSION_SETTINGS : {}),
    },
  };
  const client = String(socket.localPort ?? `.s.PGSQL.${address.port}`);
  const session = new StartedSocket(socket, await startSession(socket, request, leftMs()));
  let handedOver = false;
  let failure: Error | undefined;
  // Until the first statement there is no other listener, and an `error` event without one would end the process.
  session.on('error', (error) => (failure ??= error));

  const options = {
    host: 'localhost',
    port: 5432,
    database: target.database,
    username: target.user,
    // Everything that postgres.js would otherwise take from an environment variable of the same name.
    ssl: false,
    max: 1,
    idle_timeout: 0,
    max_lifetime: 0,
    connect_timeout: Math.max(1, Math.ceil(limitMs / 1000)),
    prepare: true, // only where a call asks for it: named statements break behind a pooler
    debug: false, // otherwise an error would contain the parameters, the secret among them
    fetch_types: false,
    onnotice: () => undefined, // its default prints to stdout
    ...(onNotification === undefined ? {} : { onnotify: onNotification }),
    socket: () => {
      if (failure !== undefined && !handedOver) throw failure;
      if (handedOver || session.destroyed)
        throw codedError('CONNECTION_CLOSED', 'the connection to the database was lost');
      handedOver = true;
      return session;
    },
  };
  return {
    sql: withoutTargetVariable(() => postgres(options)),
    client,
    tlsVersion: socket.getProtocol?.() ?? null,
    isOpen: () => !session.destroyed,
    closeMessage: () => session.closeMessage,
    destroy: () => session.destroy(),
  };
}

/** postgres.js uses PGTARGETSESSIONATTRS, has no option against it, and fails for `any`. */
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
