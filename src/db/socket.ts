import net from 'node:net';

export interface Address {
  /** A name or an address; or, when it begins with `/`, the folder of a Unix socket. */
  host: string;
  port: number;
}

/** postgres.js and TLS read the host from the socket that they are given. */
export type HostSocket = net.Socket & { host?: string };

/**
 * A connected socket of our own: only who owns the socket can end it for certain when the peer is silent.
 * Several addresses are tried in their order; the last one's error is thrown.
 */
export async function openSocket(addresses: readonly Address[], limitMs: number): Promise<HostSocket> {
  const endsAtMs = performance.now() + limitMs;
  let lastError: unknown = codedError('ENOTFOUND', 'no host is configured');
  for (const [index, address] of addresses.entries()) {
    // A silent first host must leave time for the others.
    const shareMs = (endsAtMs - performance.now()) / (addresses.length - index);
    try {
      return await openOne(address, Math.max(1, shareMs));
    } catch (error) {
      lastError = error;
    }
  }
  throw lastError;
}

function openOne({ host, port }: Address, limitMs: number): Promise<HostSocket> {
  return new Promise((resolve, reject) => {
    const socket: HostSocket = host.startsWith('/')
      ? net.connect({ path: `${host}/.s.PGSQL.${port}` })
      : net.connect({ host, port, noDelay: true });
    socket.host = host;
    const timer = setTimeout(() => {
      fail(codedError('ETIMEDOUT', `no connection to ${host}:${port} within ${Math.round(limitMs)} ms`));
    }, limitMs);
    const fail = (error: Error): void => {
      clearTimeout(timer);
      socket.destroy();
      reject(withCode(error));
    };
    socket.once('error', fail);
    socket.once('connect', () => {
      clearTimeout(timer);
      socket.off('error', fail);
      resolve(socket);
    });
  });
}

export function codedError(code: string, message: string, cause?: unknown): Error & { code: string } {
  return Object.assign(new Error(message, cause === undefined ? undefined : { cause }), { code });
}

/** A host with several addresses fails with an AggregateError: the first one's message says more. */
function withCode(error: Error): Error {
  if (error instanceof AggregateError && error.errors[0] instanceof Error) return error.errors[0];
  return error;
}
