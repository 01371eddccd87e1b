import os

from flask import Flask

app = Flask(__name__)


@app.route("/")
def hello():
    return f"{os.environ.get('GREETING', 'Hello')} from Flask\n"
