"""An error as OpenAI's clients read it: a status, and a JSON object with a message, a type and a code."""

from __future__ import annotations

from xenon.errors import ErrorCode, XenonError

BAD_REQUEST, UNAUTHORISED, FORBIDDEN, NOT_FOUND, NOT_ALLOWED = 400, 401, 403, 404, 405
REQUEST_TIMEOUT, TOO_LARGE, WRONG_TYPE, TOO_MANY, FAILED, UNAVAILABLE, LATE = (
    408,
    413,
    415,
    429,
    500,
    503,
    504,
)
_TYPES = {
    UNAUTHORISED: "authentication_error",
    FORBIDDEN: "permission_error",
    NOT_FOUND: "not_found_error",
    TOO_MANY: "rate_limit_error",
    FAILED: "server_error",
    UNAVAILABLE: "server_error",
    LATE: "server_error",
}


class ApiError(Exception):
    """A request that is not served: the HTTP status, what is wrong, in which field, a code for programs."""

    def __init__(self, status: int, message: str, param: str | None = None, code: str | None = None) -> None:
        super().__init__(message)
        self.status, self.message, self.param, self.code = status, message, param, code

    def body(self) -> dict[str, object]:
        """The JSON object."""
        kind = _TYPES.get(self.status, "invalid_request_error")
        return {"error": {"message": self.message, "type": kind, "param": self.param, "code": self.code}}

    @property
    def headers(self) -> dict[str, str]:
        """Headers that belong to the status."""
        if self.status == UNAUTHORISED:
            return {"www-authenticate": "Bearer"}
        return {"retry-after": "1"} if self.status in (TOO_MANY, UNAVAILABLE) else {}


def from_library(error: XenonError) -> ApiError:
    """An error of the library as one of the server."""
    message = f"{error.message}; {error.hint}" if error.hint else error.message
    if error.code in (ErrorCode.BAD_INPUT, ErrorCode.BAD_VALUE):
        return ApiError(BAD_REQUEST, message, code=error.code.value)
    if error.code is ErrorCode.LIMIT_REACHED:
        return ApiError(LATE, message, code="time_limit")
    return ApiError(FAILED, message, code=error.code.value)
