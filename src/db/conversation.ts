import { NOT_POSTGRESQL } from './classify.js';
import { letterOf, MessageReader, violation } from './message-reader.js';
import type { HostSocket } from './socket.js';
import { codedError } from './socket.js';
import { errorOf } from './server-error.js';

/** A start-up takes some kilobytes: no server needs more, including notices. */
const LONGEST_STARTUP = 1024 * 1024;
/**
 * The messages with which a server answers a start-up: authentication, an error, a notice, a negotiation of the
 * protocol's version.
 */
const FIRST = 'RENv';
/** libpq's limit for this answer. */
const LONGEST_FIRST = 30_000;

/** The start-up's messages, one by one. This object reads the socket until leave(). */
export class Conversation {
  readonly #socket: HostSocket;
  readonly #reader = new MessageReader(LONGEST_STARTUP);
  readonly #messages: Buffer[] = [];
  #received = 0;
  /** The bytes of the first message; undefined once it is known to be valid. */
  #head: Buffer | undefined = Buffer.alloc(0);
  #failure: Error | undefined;
  #wake: () => void = () => undefined;

  constructor(socket: HostSocket) {
    this.#socket = socket;
    socket.on('data', this.#take).on('error', this.#fail).on('close', this.#closed);
  }

  send(message: Buffer): void {
    this.#socket.write(message);
  }

  /**
   * The next message, without notices.
   * @throws the server's error, if it sent one; an error of the network; NOT_POSTGRESQL; PROTOCOL_VIOLATION.
   */
  async next(): Promise<Buffer> {
    for (;;) {
      const message = this.#messages.shift();
      if (message !== undefined) {
        const letter = letterOf(message);
        if (letter === 'E') throw errorOf(message);
        if (letter !== 'N') return message;
      } else {
        if (this.#failure !== undefined) throw this.#failure;
        await new Promise<void>((resolve) => (this.#wake = resolve));
      }
    }
  }

  /** Stops reading the socket. Unread bytes stay in it, for its next reader. */
  leave(): void {
    const socket = this.#socket;
    socket.pause();
    socket.off('data', this.#take).off('error', this.#fail).off('close', this.#closed);
    const unread = Buffer.concat([...this.#messages, this.#reader.unfinished]);
    if (unread.length > 0 && !socket.destroyed) socket.unshift(unread);
  }

  readonly #take = (bytes: Buffer): void => {
    if (this.#failure !== undefined) return;
    this.#received += bytes.length;
    try {
      if (this.#received > LONGEST_STARTUP) throw violation(`a start-up of ${this.#received} bytes or more`);
      this.#checkFirst(bytes);
      this.#messages.push(...this.#reader.read(bytes));
      this.#wake();
    } catch (error) {
      this.#fail(error as Error);
    }
  };

  /** Another protocol is recognized by its first bytes, without waiting for more. */
  #checkFirst(bytes: Buffer): void {
    if (this.#head === undefined) return;
    const head = Buffer.concat([this.#head, bytes.subarray(0, 5)]);
    const lengthIsOdd =
      head.length >= 5 && (head.readUInt32BE(1) < 4 || head.readUInt32BE(1) > LONGEST_FIRST);
    if (!FIRST.includes(letterOf(head)) || lengthIsOdd)
      throw codedError(NOT_POSTGRESQL, 'the server there does not speak the PostgreSQL protocol');
    this.#head = head.length >= 5 ? undefined : head;
  }

  readonly #fail = (error: Error): void => {
    this.#failure ??= error;
    this.#wake();
  };

  readonly #closed = (): void => {
    this.#fail(codedError('CONNECTION_CLOSED', 'the server closed the connection before the session began'));
  };
}
