import { PROTOCOL_VIOLATION } from './classify.js';
import { codedError } from './socket.js';

/** The longest valid message is a page of the history. */
export const LONGEST_MESSAGE = 16 * 1024 * 1024;

/** A letter, and a length that counts itself. */
const HEAD = 5;

/**
 * Splits the server's bytes into complete messages. One that is too long is refused by its header, before its body is
 * stored.
 */
export class MessageReader {
  #message = Buffer.allocUnsafe(HEAD);
  #filled = 0;
  readonly #longest: number;

  constructor(longest = LONGEST_MESSAGE) {
    this.#longest = longest;
  }

  /** @throws PROTOCOL_VIOLATION */
  read(bytes: Buffer): Buffer[] {
    const messages: Buffer[] = [];
    let rest = bytes;
    while (rest.length > 0) {
      const copied = rest.copy(this.#message, this.#filled);
      this.#filled += copied;
      rest = rest.subarray(copied);
      if (this.#filled < this.#message.length) break;
      if (this.#message.length === HEAD) {
        const length = this.#lengthInHead();
        if (length > HEAD) {
          this.#message = Buffer.concat([this.#message], length);
          continue;
        }
      }
      messages.push(this.#message);
      this.#message = Buffer.allocUnsafe(HEAD);
      this.#filled = 0;
    }
    return messages;
  }

  /** The bytes of the next message so far. */
  get unfinished(): Buffer {
    return this.#message.subarray(0, this.#filled);
  }

  #lengthInHead(): number {
    const length = this.#message.readUInt32BE(1);
    if (length < HEAD - 1) throw violation('a message without a length');
    if (length > this.#longest) throw violation(`a message of ${length} bytes (allowed: ${this.#longest})`);
    return 1 + length;
  }
}

export function letterOf(message: Buffer): string {
  return String.fromCharCode(message[0] ?? 0);
}

export function violation(what: string): Error {
  return codedError(PROTOCOL_VIOLATION, `the server sent what a PostgreSQL server does not send: ${what}`);
}
