/** What a server says when it ends a connection: the fields of an ErrorResponse, under the names that postgres.js has for them. */
export interface Farewell {
  code: string;
  message: string;
  severity_local: string;
  severity?: string;
}

const FIELDS: Record<string, keyof Farewell> = {
  S: 'severity_local',
  V: 'severity',
  C: 'code',
  M: 'message',
};
/** With which messages PostgreSQL answers a start-up: authentication, an error, a notice, a negotiation of the protocol's version. */
const FIRST = new Set(['R', 'E', 'N', 'v']);
/** libpq's limit for an answer to a start-up. */
const LONGEST_FIRST = 30_000;
const HEADER = 5;

/**
 * Reads along what a server sends, for two things that postgres.js does not tell: that it is no PostgreSQL, and with what error it
 * has ended the connection (in the midst of a statement postgres.js reports only that it is closed).
 * https://www.postgresql.org/docs/current/protocol-message-formats.html
 */
export class ServerMessages {
  #rest = Buffer.alloc(0);
  /** How much of the present message is still to come and of no interest. */
  #toSkip = 0;
  #isFirst = true;
  #farewell: Farewell | undefined;

  get farewell(): Farewell | undefined {
    return this.#farewell;
  }

  /** @returns false when this cannot be PostgreSQL. */
  read(chunk: Buffer): boolean {
    const skipped = Math.min(this.#toSkip, chunk.length);
    this.#toSkip -= skipped;
    let bytes = this.#rest.length === 0 ? chunk.subarray(skipped) : Buffer.concat([this.#rest, chunk]);
    while (bytes.length >= HEADER || (this.#isFirst && bytes.length > 0)) {
      const type = String.fromCharCode(bytes[0] ?? 0);
      if (this.#isFirst && !FIRST.has(type)) return false;
      if (bytes.length < HEADER) break;
      const end = 1 + bytes.readUInt32BE(1);
      if (end < HEADER || (this.#isFirst && end > LONGEST_FIRST)) return false;
      if (type === 'E' && bytes.length < end) break; // to be read as a whole
      this.#isFirst = false;
      if (type === 'E') this.#keep(bytes.subarray(HEADER, end));
      this.#toSkip = Math.max(0, end - bytes.length);
      bytes = bytes.subarray(end);
    }
    this.#rest = Buffer.from(bytes);
    return true;
  }

  #keep(body: Buffer): void {
    const said: Farewell = { code: '', message: '', severity_local: '' };
    for (const field of body.toString('utf8').split('\0')) {
      const name = FIELDS[field.charAt(0)];
      if (name !== undefined) said[name] = field.slice(1);
    }
    if (isFatal(said)) this.#farewell = said;
  }
}

/** Whether it ended the connection, or a pooler did. The severity is translated in one field; poolers send only that, in English. */
export function isFatal(error: unknown): boolean {
  if (typeof error !== 'object' || error === null) return false;
  const { severity, severity_local: local } = error as Partial<Farewell>;
  return ['FATAL', 'PANIC'].includes(severity ?? local ?? '');
}
