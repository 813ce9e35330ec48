import type { X509Certificate } from 'node:crypto';
import net from 'node:net';
import { NO_SOCKET } from './classify.js';

export interface Address {
  /** A name or an address; or, when it begins with `/`, the folder of a Unix socket. */
  host: string;
  port: number;
  /** The address to connect to; `host` stays the name that the certificate must contain. */
  hostaddr?: string | undefined;
  /** The password for this one host, from a password file. */
  password?: string | undefined;
}

/** TLS reads the host from the socket. Only a socket with TLS knows its peer's certificate and its protocol. */
export type HostSocket = net.Socket & {
  host?: string;
  getPeerX509Certificate?: () => X509Certificate | undefined;
  getProtocol?: () => string | null;
};

/** The limit of the system; Node cuts a longer path, which leads to another socket. */
const LONGEST_PATH = process.platform === 'darwin' ? 103 : 107;
/** The server is not up yet, or is too busy. For a Unix socket, any other error is in its path or its permissions. */
const MAY_COME = new Set(['ENOENT', 'ECONNREFUSED', 'ECONNRESET', 'EAGAIN', 'ETIMEDOUT', 'EMFILE', 'ENFILE']);

/**
 * A connected socket of the program: only its owner can end it reliably when the peer does not answer. `signal`
 * destroys it, now and later.
 */
export function openSocket(
  { host, port, hostaddr }: Address,
  limitMs: number,
  signal?: AbortSignal,
): Promise<HostSocket> {
  const path = host.startsWith('/') ? `${host}/.s.PGSQL.${port}` : undefined;
  return new Promise((resolve, reject) => {
    if (path !== undefined && Buffer.byteLength(path) > LONGEST_PATH) {
      reject(codedError(NO_SOCKET, `the path ${path} is too long for a Unix socket`));
      return;
    }
    const socket: HostSocket =
      path !== undefined
        ? net.connect({ path })
        : net.connect({ host: hostaddr ?? host, port, noDelay: true });
    socket.host = host;
    // Between two readers there is no other listener, and an unhandled `error` event would end the process.
    socket.on('error', () => undefined);
    const abort = (): void => {
      socket.destroy(codedError('CONNECTION_DESTROYED', 'the connection is not needed any more'));
    };
    signal?.addEventListener('abort', abort, { once: true });
    socket.once('close', () => signal?.removeEventListener('abort', abort));
    const timer = setTimeout(() => {
      fail(codedError('ETIMEDOUT', `no connection to ${host}:${port} within ${Math.round(limitMs)} ms`));
    }, limitMs);
    const fail = (error: Error): void => {
      clearTimeout(timer);
      socket.destroy();
      const { code } = error as { code?: string };
      const isMistake = path !== undefined && code !== undefined && !MAY_COME.has(code);
      reject(isMistake ? codedError(NO_SOCKET, error.message, error) : withCode(error));
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

/** A host with several addresses fails with an AggregateError: the first error's message says more. */
function withCode(error: Error): Error {
  if (error instanceof AggregateError && error.errors[0] instanceof Error) return error.errors[0];
  return error;
}
