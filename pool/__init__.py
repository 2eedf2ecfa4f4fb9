"""What is true about a pool of Claude subscriptions: values, rules, and what reads and stores them.

Rule: knows nothing of Ray and of the web. What a caller needs is here, and only these import paths
are public: ``from pool import ExecutionRequest, Execution, errors``.

``G1`` to ``G12`` in docstrings are the guarantees that deploy/guarantees.md defines; ``T1`` and
``T2`` are the two transactions of an execution, before its run and after it.
"""

from pool import errors
from pool.executions.content.image import Image
from pool.executions.execution import Execution
from pool.executions.progress import Event
from pool.executions.request import ExecutionRequest
from pool.executions.status import ExecutionStatus
from pool.executions.tools.client_tools import ClientTool, ToolCall, ToolChoice, ToolResult

__all__ = [
    "ClientTool",
    "Event",
    "Execution",
    "ExecutionRequest",
    "ExecutionStatus",
    "Image",
    "ToolCall",
    "ToolChoice",
    "ToolResult",
    "errors",
]
