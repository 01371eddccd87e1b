from django.contrib.auth import get_user_model
from django.http import HttpResponse
from django.urls import path


def hello(request):
    return HttpResponse(f"Hello from Django, where {get_user_model().objects.count()} people have an account\n")


urlpatterns = [path("", hello)]
