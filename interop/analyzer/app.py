"""An AI service in FastAPI that answers as a test tells it to.

POST /_behave {category: [answer, ...]}  what it answers to photos of that category, one after the other; the last
                                         one is repeated. {} forgets all. Without a script it knows every field.
GET  /_seen                              the questions so far, oldest first

An answer is {"status": 200, "headers": {...}, "body": any JSON}, or {"text": "..."} in place of the body,
or {"fault": "reset" | "truncate" | "hang"}.
"""

import asyncio
import socket
import struct
import urllib.request

from fastapi import FastAPI, Request
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import JSONResponse, Response
from pydantic import BaseModel

WHOLE = {
    "brand": {"value": "Nike", "confidence": 0.95},
    "model": {"value": "Air Jordan 1", "confidence": 0.88},
    "colorway": {"value": "Chicago", "confidence": 0.82},
    "processedImageUrl": "https://images.example/processed.png",
}

service = FastAPI()
script = {}
seen = []


class Question(BaseModel):
    imageUrl: str
    category: str

    class Config:
        extra = "forbid"


class SnakeQuestion(BaseModel):
    image_url: str
    category: str

    class Config:
        extra = "forbid"


@service.post("/analyze")
async def analyze(question: Question, request: Request):
    return await answer(question.imageUrl, question.category, request)


@service.post("/snake/analyze")
async def snake_analyze(question: SnakeQuestion, request: Request):
    return await answer(question.image_url, question.category, request)


@service.get("/health")
@service.get("/snake/health")
async def health():
    return {"status": "ok"}


@service.post("/_behave")
async def behave(answers: dict):
    script.clear()
    script.update(answers)


@service.get("/_seen")
async def questions():
    return seen


async def answer(image_url, category, request):
    answers = script.get(category) or [{"body": WHOLE}]
    told = answers.pop(0) if len(answers) > 1 else answers[0]
    seen.append(
        {
            "category": category,
            "headers": dict(request.headers),
            "imageType": await run_in_threadpool(image_type, image_url),
        }
    )
    if "fault" in told:
        await FAULTS[told["fault"]](request.scope["transport"])
        return Response()  # goes nowhere: the connection is closed
    if "text" in told:
        return Response(told["text"])
    return JSONResponse(told.get("body"), told.get("status", 200), told.get("headers"))


def image_type(url):
    with urllib.request.urlopen(url, timeout=10) as image:
        image.read()
        return image.headers["Content-Type"]


BEGINNING = b'HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 1000\r\n\r\n{"brand": '


async def reset(transport):
    transport.write(BEGINNING)
    await asyncio.sleep(0.05)  # what a reset overtakes is lost
    no_farewell = struct.pack("ii", 1, 0)
    transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, no_farewell)
    transport.abort()


async def truncate(transport):
    transport.write(BEGINNING)
    transport.close()


async def hang(transport):
    await asyncio.sleep(3600)


FAULTS = {"reset": reset, "truncate": truncate, "hang": hang}


async def app(scope, receive, send):
    """The service, with the connection itself within reach of the faults."""
    if scope["type"] == "http":
        scope["transport"] = send.__self__.transport
    await service(scope, receive, send)
