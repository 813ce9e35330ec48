import net from 'node:net';
import { NO_ROOT_CERTIFICATE, NOT_POSTGRESQL, TLS_REFUSED, TLS_UNTRUSTED } from './classify.js';
import { codedError, type HostSocket } from './socket.js';

/** With libpq's meaning: https://www.postgresql.org/docs/current/libpq-ssl.html#LIBPQ-SSL-PROTECTION */
export type SslMode = 'disable' | 'prefer' | 'require' | 'verify-ca' | 'verify-full';

/** PEM texts and limits, as tls.connect() takes them. */
export interface TlsMaterial {
  ca?: string;
  cert?: string;
  key?: string;
  passphrase?: string;
  crl?: string;
  minVersion?: 'TLSv1' | 'TLSv1.1' | 'TLSv1.2' | 'TLSv1.3';
  maxVersion?: 'TLSv1' | 'TLSv1.1' | 'TLSv1.2' | 'TLSv1.3';
}

export interface TlsWish {
  ssl: SslMode;
  tls: TlsMaterial;
  /** False: the host's name is not sent before the connection is encrypted (sslsni=0). */
  sendsName?: boolean;
  /** TLS begins at once, without asking for it first (sslnegotiation=direct). */
  tlsFirst?: boolean;
}

const SSL_REQUEST = Buffer.from([0, 0, 0, 8, 0x04, 0xd2, 0x16, 0x2f]);

/**
 * Asks the server for TLS and upgrades the socket, within `limitMs`. postgres.js could do it, but then a server
 * without TLS cannot be distinguished from a lost connection.
 * @throws an error with code TLS_REFUSED when TLS is required and cannot be had, or the certificate is not accepted.
 */
export async function upgrade(socket: HostSocket, wish: TlsWish, limitMs: number): Promise<HostSocket> {
  const mode = wish.ssl;
  if (mode === 'disable' || socket.host?.startsWith('/') === true) return socket;
  const timer = setTimeout(() => {
    socket.destroy(
      codedError('ETIMEDOUT', `no answer to the request for TLS within ${Math.round(limitMs)} ms`),
    );
  }, limitMs);
  try {
    if (wish.tlsFirst !== true && !(await serverOffersTls(socket))) {
      if (mode === 'prefer') return socket;
      throw codedError(TLS_REFUSED, `the server does not offer TLS, and sslmode=${mode} needs it`);
    }
    return await handshake(socket, wish);
  } catch (error) {
    socket.destroy();
    throw error;
  } finally {
    clearTimeout(timer);
  }
}

function serverOffersTls(socket: net.Socket): Promise<boolean> {
  return new Promise((resolve, reject) => {
    const closed = (): void => {
      reject(
        codedError('ECONNRESET', 'the connection was closed before the server said whether it offers TLS'),
      );
    };
    socket.once('error', reject);
    socket.once('close', closed);
    socket.once('data', (answer: Buffer) => {
      socket.off('error', reject);
      socket.off('close', closed);
      const word = answer.toString('latin1');
      if (word === 'S' || word === 'N') resolve(word === 'S');
      // Bytes after the answer would be read as if they had been encrypted (CVE-2021-23222).
      else if (/^[SN]/.test(word) && !word.startsWith('SSH-'))
        reject(codedError(TLS_REFUSED, 'the server answered the request for TLS with more than it may'));
      // As libpq: a server that cannot start another process answers in this way.
      else if (word.startsWith('E'))
        reject(codedError('ECONNRESET', 'the server could not take the connection'));
      else reject(codedError(NOT_POSTGRESQL, 'the server there does not speak the PostgreSQL protocol'));
    });
    socket.write(SSL_REQUEST);
  });
}

async function handshake(socket: HostSocket, wish: TlsWish): Promise<HostSocket> {
  const { ssl: mode, tls: material, sendsName = true, tlsFirst = false } = wish;
  if (mode === 'verify-ca' && material.ca === undefined) {
    // As libpq. Public authorities sign for any host, so without a check of the name they prove nothing.
    throw codedError(NO_ROOT_CERTIFICATE, 'sslmode=verify-ca needs a root certificate, and there is none');
  }
  // Loading it takes a tenth of the whole start, and many servers do not need it.
  const { connect } = await import('node:tls');
  if (socket.destroyed) throw codedError('CONNECTION_CLOSED', 'the connection was closed before TLS began');
  return new Promise((resolve, reject) => {
    const host = socket.host ?? '';
    const verifies = mode === 'verify-ca' || mode === 'verify-full';
    const options = {
      ...material,
      socket,
      host, // the name for the certificate; without it an address would count as `localhost`
      ...(net.isIP(host) === 0 && sendsName ? { servername: host } : {}),
      ...(tlsFirst ? { ALPNProtocols: ['postgresql'] } : {}),
      rejectUnauthorized: verifies,
      // verify-ca trusts the authority for any name in the certificate.
      ...(mode === 'verify-ca' ? { checkServerIdentity: () => undefined } : {}),
    };
    let secure: HostSocket;
    try {
      secure = connect(options);
    } catch (error) {
      const said = error instanceof Error ? error.message : String(error);
      reject(codedError(TLS_REFUSED, `the certificate or its key cannot be used: ${said}`, error));
      return;
    }
    secure.host = host;
    const failed = (error: Error): void => {
      const lost = 'code' in error && (error.code === 'ECONNRESET' || error.code === 'ETIMEDOUT');
      const code = verifies && isAboutTrust(error) ? TLS_UNTRUSTED : TLS_REFUSED;
      reject(lost ? error : codedError(code, `TLS: ${error.message.replace(ADVICE, '')}`, error));
    };
    secure.once('error', failed);
    secure.once('secureConnect', () => {
      secure.off('error', failed);
      resolve(secure);
    });
  });
}

/** Node.js 24 and later add it: advice about an option of Node.js, which the executable does not take. The hint says what to do. */
const ADVICE = /; if the root CA is installed locally, .*$/s;

/**
 * Node's errors for a certificate that it does not accept: https://nodejs.org/api/tls.html#x509-certificate-error-codes
 */
function isAboutTrust(error: Error): boolean {
  const code = 'code' in error ? String(error.code) : '';
  return (
    /CERT|CRL|CA_KEY|CHAIN|ISSUER|LEAF|INVALID_(CA|PURPOSE)|HOSTNAME_MISMATCH|PATH_LENGTH/.test(code) &&
    !code.startsWith('ERR_SSL_')
  );
}
