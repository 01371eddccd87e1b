from fastapi import FastAPI

api = FastAPI(title="Hello")


@api.get("/")
async def hello():
    return {"message": "Hello from FastAPI"}
