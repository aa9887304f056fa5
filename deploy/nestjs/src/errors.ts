/** What everything thrown here derives from; `cause` is what Node or OpenSSL said, where that was translated. */
export class EdgeError extends Error {
  override name = 'EdgeError';
}

/** Bytes or messages that break the protocol: the place in the stream is lost. */
export class ProtocolError extends EdgeError {
  override name = 'ProtocolError';
}

/** The connection could not be made, broke, or was ended; `code` is the device's or Node's, where there is one. */
export class ConnectionError extends EdgeError {
  override name = 'ConnectionError';

  constructor(
    message: string,
    readonly code = '',
    options?: ErrorOptions,
  ) {
    super(message, options);
  }
}

/** The alert handler was behind for so long that the connection had to be given up; it is resumed later. */
export class BehindError extends ConnectionError {
  override name = 'BehindError';
}

/** The device answered a command with an error, or did not answer in time (`code` is then `timeout`). */
export class CommandError extends EdgeError {
  override name = 'CommandError';

  constructor(
    readonly code: string,
    message: string,
  ) {
    super(message);
  }
}

/** A short reason for people, whatever was thrown. */
export function reasonOf(error: unknown): string {
  if (error instanceof Error) return error.message || error.name;
  const message = (error as { message?: unknown } | null)?.message;
  return typeof message === 'string' ? message : String(error);
}
