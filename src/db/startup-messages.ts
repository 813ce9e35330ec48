/** The messages of the start-up: https://www.postgresql.org/docs/current/protocol-message-formats.html */

const PROTOCOL_3_0 = 196_608;
const NUL = '\0';

/** Undefined parameters are left out. */
export function startupMessage(parameters: Readonly<Record<string, string | undefined>>): Buffer {
  const pairs = Object.entries(parameters).flatMap(([name, value]) =>
    value === undefined ? [] : [name + NUL + value + NUL],
  );
  const version = Buffer.alloc(4);
  version.writeUInt32BE(PROTOCOL_3_0);
  return withLength(Buffer.concat([version, Buffer.from(pairs.join('') + NUL)]));
}

export function passwordMessage(password: string): Buffer {
  return responseMessage(Buffer.from(password + NUL));
}

/** The first message of a SASL exchange. */
export function saslInitialResponse(mechanism: string, response: string): Buffer {
  const length = Buffer.alloc(4);
  length.writeInt32BE(Buffer.byteLength(response));
  return responseMessage(Buffer.concat([Buffer.from(mechanism + NUL), length, Buffer.from(response)]));
}

/** A later message of a SASL exchange, and the answer to any other authentication request. */
export function responseMessage(body: Buffer): Buffer {
  return Buffer.concat([Buffer.from('p'), withLength(body)]);
}

function withLength(body: Buffer): Buffer {
  const length = Buffer.alloc(4);
  length.writeInt32BE(4 + body.length);
  return Buffer.concat([length, body]);
}
