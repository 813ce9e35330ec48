import { createHash } from 'node:crypto';
import { certificateHash } from './certificate-hash.js';
import { NO_PASSWORD } from './classify.js';
import type { Conversation } from './conversation.js';
import { letterOf, violation } from './message-reader.js';
import type { AuthMethod, AuthWish } from './settings/required-auth.js';
import { refused, ScramExchange, type Binding } from './scram.js';
import { codedError, type HostSocket } from './socket.js';
import { passwordMessage, responseMessage, saslInitialResponse } from './startup-messages.js';

export interface Credentials {
  user: string;
  password: string | undefined;
  auth: AuthWish;
}

/** The kinds of AuthenticationRequest. */
const OK = 0;
const CLEARTEXT = 3;
const MD5 = 5;
const SASL = 10;
const SASL_CONTINUE = 11;
const SASL_FINAL = 12;
/** Methods that this client does not support. */
const UNSUPPORTED_METHODS = new Map([
  [2, 'Kerberos 5'],
  [6, 'SCM credentials'],
  [7, 'GSSAPI'],
  [9, 'SSPI'],
]);

const SCRAM = 'SCRAM-SHA-256';
const SCRAM_PLUS = 'SCRAM-SHA-256-PLUS';

/**
 * Does what the server requests, unless channel_binding or require_auth demands more: then nothing is sent.
 * @returns the server's AuthenticationOk. With SCRAM the server has proved that it knows the password.
 * @throws AUTHENTICATION_REFUSED, NO_PASSWORD when one is requested and there is none, or the server's error.
 */
export async function authenticate(
  conversation: Conversation,
  socket: HostSocket,
  credentials: Credentials,
): Promise<Buffer> {
  const { user, auth } = credentials;
  const request = await nextRequest(conversation);
  switch (request.kind) {
    case OK:
      if (!auth.allowsNone) throw refused('it asks for no authentication, and require_auth forbids that');
      refuseWithoutBinding(auth, 'asks for nothing');
      return request.message;
    case CLEARTEXT:
      allow(auth, 'password', 'the password in clear text');
      conversation.send(passwordMessage(passwordOf(credentials)));
      break;
    case MD5: {
      allow(auth, 'md5', 'an MD5 hash of the password');
      const inner = md5(Buffer.from(passwordOf(credentials) + user));
      conversation.send(passwordMessage(`md5${md5(Buffer.concat([Buffer.from(inner), request.data]))}`));
      break;
    }
    case SASL:
      await exchange(conversation, socket, credentials, request.data.toString('utf8').split('\0'));
      break;
    default: {
      const name = UNSUPPORTED_METHODS.get(request.kind) ?? `method ${request.kind}`;
      throw refused(`it asks for ${name}, which migrate-lock cannot do: let it ask for a password`);
    }
  }
  return (await nextRequest(conversation, OK)).message;
}

async function exchange(
  conversation: Conversation,
  socket: HostSocket,
  credentials: Credentials,
  offered: readonly string[],
): Promise<void> {
  const { auth } = credentials;
  if (!offered.includes(SCRAM) && !offered.includes(SCRAM_PLUS)) {
    const names = offered.filter((name) => /^[\w-]{1,30}$/.test(name));
    throw refused(`it asks for ${names.join(', ')}, which migrate-lock cannot do: let it ask for a password`);
  }
  if (!auth.methods.includes('scram-sha-256'))
    throw refused(`it asks for ${SCRAM}, and require_auth forbids that`);
  const { mechanism, binding } = chooseBinding(socket, auth, offered);
  const scram = new ScramExchange(passwordOf(credentials), binding);
  conversation.send(saslInitialResponse(mechanism, scram.first()));
  const first = await nextRequest(conversation, SASL_CONTINUE);
  const answer = await scram.answer(first.data.toString('utf8'));
  conversation.send(responseMessage(Buffer.from(answer)));
  const final = await nextRequest(conversation, SASL_FINAL);
  scram.verify(final.data.toString('utf8'));
}

/**
 * As libpq: SCRAM-SHA-256-PLUS whenever both sides support it. The header says `y` when only the server does not: a
 * server that has offered it then knows that an attacker between the two has removed the offer.
 */
function chooseBinding(
  socket: HostSocket,
  auth: AuthWish,
  offered: readonly string[],
): { mechanism: string; binding: Binding } {
  const certificate = socket.getPeerX509Certificate?.();
  const offersPlus = offered.includes(SCRAM_PLUS);
  const hash =
    certificate === undefined || auth.channelBinding === 'disable'
      ? undefined
      : certificateHash(certificate.raw);
  if (offersPlus && certificate === undefined) {
    throw refused(
      'it offers channel binding on a connection without TLS: an attacker in between may have removed TLS',
    );
  }
  if (offersPlus && hash !== undefined) {
    return { mechanism: SCRAM_PLUS, binding: { header: 'p=tls-server-end-point,,', data: hash } };
  }
  if (auth.channelBinding === 'require') {
    throw refused(
      certificate === undefined
        ? 'channel_binding=require needs TLS, and the connection has none'
        : offersPlus
          ? 'channel_binding=require needs a certificate whose signature has a hash, and its certificate has none'
          : `channel_binding=require needs ${SCRAM_PLUS}, and it does not offer that`,
    );
  }
  if (!offered.includes(SCRAM))
    throw refused(`it asks for ${SCRAM_PLUS}, and channel binding cannot be used`);
  return { mechanism: SCRAM, binding: { header: hash === undefined ? 'n,,' : 'y,,', data: Buffer.alloc(0) } };
}

function allow(auth: AuthWish, method: AuthMethod, name: string): void {
  if (!auth.methods.includes(method)) throw refused(`it asks for ${name}, and require_auth forbids that`);
  refuseWithoutBinding(auth, `asks for ${name}`);
}

function refuseWithoutBinding({ channelBinding }: AuthWish, asks: string): void {
  if (channelBinding === 'require')
    throw refused(`it ${asks}, and channel_binding=require needs ${SCRAM_PLUS}`);
}

function passwordOf({ password }: Credentials): string {
  if (password === undefined || password === '') {
    throw codedError(NO_PASSWORD, 'it wants a password, and none was given');
  }
  return password;
}

interface AuthenticationRequest {
  kind: number;
  data: Buffer;
  message: Buffer;
}

async function nextRequest(conversation: Conversation, expected?: number): Promise<AuthenticationRequest> {
  const message = await conversation.next();
  if (letterOf(message) !== 'R' || message.length < 9) {
    throw violation(`message ${JSON.stringify(letterOf(message))} instead of a request to authenticate`);
  }
  const kind = message.readUInt32BE(5);
  if (expected !== undefined && kind !== expected) {
    throw refused(
      kind === OK
        ? 'it accepts us before it has proved that it knows the password'
        : 'it asks for something else during the authentication',
    );
  }
  return { kind, data: message.subarray(9), message };
}

function md5(bytes: Buffer): string {
  return createHash('md5').update(bytes).digest('hex');
}
