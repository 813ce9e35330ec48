import { createHash, createHmac, pbkdf2, randomBytes, timingSafeEqual } from 'node:crypto';
import { promisify } from 'node:util';
import { AUTHENTICATION_REFUSED } from './classify.js';
import { preparePassword } from './prepare-password.js';
import { shorten } from '../text/shorten.js';
import { codedError } from './socket.js';

/** PostgreSQL's default is 4096. A million takes half a second; a server could request two thousand times that. */
const MOST_ITERATIONS = 1_000_000;

/** A nonce of printable ASCII, the salt in base64, and the number of iterations only, as libpq. */
const SERVER_FIRST = /^r=([\x21-\x2b\x2d-\x7e]+),s=([A-Za-z0-9+/]+={0,2}),i=([1-9]\d{0,9})$/;

const deriveKey = promisify(pbkdf2);

/** The channel binding: the GS2 header, and the channel's data. */
export interface Binding {
  header: string;
  data: Buffer;
}

/** The client side of SCRAM-SHA-256 (RFC 5802, RFC 7677). Both sides prove that they know the password. */
export class ScramExchange {
  readonly #password: string;
  readonly #binding: Binding;
  readonly #nonce = randomBytes(18).toString('base64');
  #serverSignature: Buffer | undefined;

  constructor(password: string, binding: Binding) {
    this.#password = password;
    this.#binding = binding;
  }

  /** PostgreSQL uses the user's name of the start-up, and ignores this one. */
  first(): string {
    return `${this.#binding.header}${this.#firstBare}`;
  }

  /** Answers with the client's proof. The key is derived outside the main thread. */
  async answer(serverFirst: string): Promise<string> {
    const [, nonce = '', salt = '', count = ''] = SERVER_FIRST.exec(serverFirst) ?? [];
    if (nonce === '') throw refused('its part of the SCRAM exchange cannot be read');
    if (!nonce.startsWith(this.#nonce) || nonce.length === this.#nonce.length) {
      throw refused('its part of the SCRAM exchange is not an answer to ours (nonce)');
    }
    if (Number(count) > MOST_ITERATIONS) {
      throw refused(`it asks for ${count} iterations of SCRAM (allowed: ${MOST_ITERATIONS})`);
    }
    const prepared = await preparePassword(this.#password);
    const salted = await deriveKey(prepared, Buffer.from(salt, 'base64'), Number(count), 32, 'sha256');
    const { header, data } = this.#binding;
    const bound = Buffer.concat([Buffer.from(header), data]).toString('base64');
    const withoutProof = `c=${bound},r=${nonce}`;
    const exchanged = `${this.#firstBare},${serverFirst},${withoutProof}`;
    const clientKey = hmac(salted, 'Client Key');
    const clientSignature = hmac(createHash('sha256').update(clientKey).digest(), exchanged);
    const proof = clientKey.map((byte, index) => byte ^ (clientSignature[index] ?? 0));
    this.#serverSignature = hmac(hmac(salted, 'Server Key'), exchanged);
    return `${withoutProof},p=${Buffer.from(proof).toString('base64')}`;
  }

  /** @throws AUTHENTICATION_REFUSED unless the server has proved that it knows the password, too. */
  verify(serverFinal: string): void {
    if (serverFinal.startsWith('e=')) throw refused(`SCRAM failed: ${shorten(serverFinal.slice(2), 100)}`);
    const proof = Buffer.from(/^v=([A-Za-z0-9+/]{43}=)$/.exec(serverFinal)?.[1] ?? '', 'base64');
    const expected = this.#serverSignature;
    if (proof.length !== expected?.length || !timingSafeEqual(proof, expected)) {
      throw refused('it does not prove that it knows the password');
    }
  }

  get #firstBare(): string {
    return `n=,r=${this.#nonce}`;
  }
}

export function refused(reason: string): Error {
  return codedError(AUTHENTICATION_REFUSED, reason);
}

function hmac(key: Buffer, text: string): Buffer {
  return createHmac('sha256', key).update(text).digest();
}
